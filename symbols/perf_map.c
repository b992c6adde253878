/* Two passes over the file: first who covers what, remembered as a place in the file, then the
 * names. */
#include "symbols/perf_map.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/sys.h"

enum { MAX_MAP = 64 << 20, CHUNK = 64 << 10, NAME_MAX_BYTES = 512 };

/* Some writers put 0x before their numbers. */
static bool hex(const char **s, const char *end, uint64_t *ret_value) {
    if (end - *s > 1 && (*s)[0] == '0' && ((*s)[1] | 0x20) == 'x')
        *s += 2;
    const char *p = *s;
    uint64_t x = 0;
    for (; p < end && p - *s < 17; p++) {
        unsigned char c = (unsigned char)(*p | 0x20);
        if (*p >= '0' && *p <= '9')
            x = x << 4 | (uint64_t)(*p - '0');
        else if (c >= 'a' && c <= 'f')
            x = x << 4 | (uint64_t)(c - 'a' + 10);
        else
            break;
    }
    if (p == *s || p - *s > 16)
        return false;
    *s = p;
    *ret_value = x;
    return true;
}

/* One line, without its end; place is where it starts in the file. */
static void take_line(const char *line, const char *end, uint64_t place, struct wanted *w,
                      size_t n) {
    const char *p = line;
    uint64_t start, size;
    if (!hex(&p, end, &start) || p == end || *p++ != ' ')
        return;
    if (!hex(&p, end, &size) || p == end || *p++ != ' ' || p == end)
        return;
    for (size_t i = wanted_first(w, n, start); i < n && w[i].at - start < size; i++)
        w[i].best =
            (struct candidate){start, start + size, place + (uint64_t)(p - line), 1, 0, false};
}

static void take_lines(int fd, char *chunk, struct wanted *w, size_t n) {
    uint64_t at = 0;
    for (ssize_t got; at < MAX_MAP && (got = sys_pread(fd, chunk, CHUNK, (off_t)at)) > 0;) {
        const char *line = chunk, *end = chunk + got;
        for (const char *newline; (newline = memchr(line, '\n', (size_t)(end - line)));) {
            take_line(line, newline, at + (uint64_t)(line - chunk), w, n);
            line = newline + 1;
        }
        /* A line without an end is still being written, or longer than any name. */
        at += line > chunk ? (uint64_t)(line - chunk) : (uint64_t)got;
    }
}

static int open_map(const char *path) {
    struct stat st;
    int fd = sys_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return fd;
    int r = sys_fstat(fd, &st);
    if (r == 0 && (!S_ISREG(st.st_mode) || (st.st_uid != 0 && st.st_uid != geteuid())))
        r = -EPERM;
    if (r == 0 && st.st_size > MAX_MAP)
        r = -EFBIG;
    if (r == 0)
        return fd;
    sys_close(fd);
    return r;
}

static void give_names(int fd, struct wanted *w, size_t n,
                       void (*found)(void *context, const struct wanted *w, const char *name),
                       void *context) {
    for (size_t i = 0; i < n; i++) {
        char name[NAME_MAX_BYTES];
        ssize_t got =
            w[i].best.table ? sys_pread(fd, name, sizeof name - 1, (off_t)w[i].best.name) : 0;
        if (got <= 0)
            continue;
        name[got] = '\0';
        name[strcspn(name, "\r\n")] = '\0';
        found(context, &w[i], name);
    }
}

int perf_map_find(const char *path, struct wanted *w, size_t n,
                  void (*found)(void *context, const struct wanted *w, const char *name),
                  void *context) {
    int fd = open_map(path);
    if (fd < 0)
        return fd;
    char *chunk = malloc(CHUNK);
    if (chunk) {
        take_lines(fd, chunk, w, n);
        give_names(fd, w, n, found, context);
    }
    free(chunk);
    sys_close(fd);
    return chunk ? 0 : -ENOMEM;
}
