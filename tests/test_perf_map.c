/* Tests symbols/perf_map.c. */
#include "symbols/perf_map.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fmt.h"

static char path[] = "/tmp/test-perf-map-XXXXXX";

static void make(const char *text) {
    int fd = mkstemp(path);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void found(void *context, const struct wanted *w, const char *name) {
    struct text *t = context;
    text_hex(t, w->at);
    text_char(t, '=');
    text_str(t, name);
    text_char(t, ' ');
}

/* "address=name " for each address that has one. */
static const char *names(int expected, struct wanted *w, size_t n) {
    static char buffer[8192];
    struct text t = TEXT_ON(buffer);
    text_str(&t, "");
    cr_assert_eq(perf_map_find(path, w, n, found, &t), expected);
    unlink(path);
    return buffer;
}

Test(perf_map, an_address_inside_a_range_has_its_name) {
    struct wanted w[] = {
        {.at = 0xfff}, {.at = 0x1000}, {.at = 0x10ff}, {.at = 0x1100}, {.at = 0x2000}};
    make("1000 100 LazyCompile:*f app.js:1\n0x2000 0x1 g\n");
    cr_assert_str_eq(names(0, w, 5),
                     "1000=LazyCompile:*f app.js:1 10ff=LazyCompile:*f app.js:1 2000=g ");
}

Test(perf_map, the_last_writer_is_right) {
    struct wanted w[] = {{.at = 0x1000}, {.at = 0x1010}};
    make("1000 20 old\n1010 10 new\n");
    cr_assert_str_eq(names(0, w, 2), "1000=old 1010=new ");
}

Test(perf_map, malformed_lines_are_skipped) {
    struct wanted w[] = {{.at = 0x1000}};
    make("\n1000\n1000 \n1000 10\n1000 10 \nxyz 10 a\n1000 zz b\n11111111111111111 10 c\n"
         "1000 10 good\n1000 10 still being written");
    cr_assert_str_eq(names(0, w, 1), "1000=good ");
}

Test(perf_map, a_range_up_to_the_end_of_memory_does_not_wrap) {
    struct wanted w[] = {{.at = 0x10}, {.at = 0xfffffffffffffff8}};
    make("fffffffffffffff0 ffffffffffffffff f\n");
    cr_assert_str_eq(names(0, w, 2), "fffffffffffffff8=f ");
}

Test(perf_map, lines_across_pieces_of_the_file_are_whole) {
    enum { LINES = 20000 };
    static struct wanted w[LINES];
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");
    for (unsigned i = 0; i < LINES; i++) {
        fprintf(f, "%x 10 function_%u\n", 0x10000 + 16 * i, i);
        w[i] = (struct wanted){.at = 0x10000 + 16 * i};
    }
    fclose(f);
    size_t n = 0;
    char buffer[64];
    struct text t = TEXT_ON(buffer);
    cr_assert_eq(perf_map_find(path, w, LINES, found, &t), 0);
    for (unsigned i = 0; i < LINES; i++)
        n += w[i].best.table && w[i].best.start == w[i].at;
    cr_assert_eq(n, LINES);
    unlink(path);
}

Test(perf_map, a_line_longer_than_a_piece_is_skipped_and_does_not_hang) {
    struct wanted w[] = {{.at = 0x1000}};
    static char text[200000];
    memset(text, 'x', sizeof text - 1);
    memcpy(text, "1000 10 ", 8);
    strcpy(text + sizeof text - 30, "\n1000 10 short\n");
    make(text);
    cr_assert_str_eq(names(0, w, 1), "1000=short ");
}

Test(perf_map, a_link_a_pipe_or_nothing_is_refused) {
    struct wanted w[] = {{.at = 0x1000}};
    make("1000 10 f\n");
    char link[64];
    snprintf(link, sizeof link, "%s.link", path);
    cr_assert_eq(symlink(path, link), 0);
    cr_assert_eq(perf_map_find(link, w, 1, found, NULL), -ELOOP);
    unlink(link);
    cr_assert_eq(mkfifo(link, 0600), 0);
    cr_assert_eq(perf_map_find(link, w, 1, found, NULL), -EPERM);
    unlink(link);
    unlink(path);
    cr_assert_eq(perf_map_find(path, w, 1, found, NULL), -ENOENT);
}
