#include "agent/proc.h"

#include <errno.h>
#include <string.h>

#include "common/sys.h"

struct kernel_dirent {
    uint64_t ino;
    int64_t off;
    unsigned short len;
    unsigned char type;
    char name[];
};

static void task_path(struct text *t, pid_t tid, const char *file) {
    text_str(t, "/proc/self/task/");
    text_u64(t, (uint64_t)tid);
    text_str(t, file);
}

void proc_each_thread(void (*fn)(pid_t tid, void *arg), void *arg) {
    int fd = sys_open("/proc/self/task", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return;
    _Alignas(8) char buf[2048];
    long n;
    while ((n = sys_call_3(SYS_getdents64, fd, buf, sizeof buf)) > 0)
        for (long at = 0; at < n;) {
            struct kernel_dirent *d = (struct kernel_dirent *)(buf + at);
            at += d->len;
            pid_t tid = 0;
            for (const char *c = d->name; *c >= '0' && *c <= '9'; c++)
                tid = tid * 10 + (*c - '0');
            if (tid)
                fn(tid, arg);
        }
    sys_close(fd);
}

bool proc_thread_exists(pid_t tid) { return sys_call_3(SYS_tgkill, sys_getpid(), tid, 0) == 0; }

bool proc_thread_is_zombie(pid_t tid) {
    char path[64], buf[256];
    struct text t = TEXT_ON(path);
    task_path(&t, tid, "/stat");
    if (sys_read_file(path, buf, sizeof buf) <= 0)
        return false;
    const char *end = strrchr(buf, ')');
    return end && end[1] == ' ' && (end[2] == 'Z' || end[2] == 'X');
}

void proc_thread_name(pid_t tid, char name[16]) {
    char path[64], buf[32];
    struct text t = TEXT_ON(path);
    task_path(&t, tid, "/comm");
    ssize_t n = sys_read_file(path, buf, sizeof buf);
    if (n <= 1)
        return;
    n = buf[n - 1] == '\n' ? n - 1 : n;
    n = n > 15 ? 15 : n;
    memcpy(name, buf, (size_t)n);
    name[n] = '\0';
}

static const char *parse_hex(const char *p, uint64_t *ret) {
    uint64_t v = 0;
    for (;; p++) {
        if (*p >= '0' && *p <= '9')
            v = v << 4 | (uint64_t)(*p - '0');
        else if (*p >= 'a' && *p <= 'f')
            v = v << 4 | (uint64_t)(*p - 'a' + 10);
        else
            break;
    }
    *ret = v;
    return p;
}

/* "running", "-1 sp pc" or "call arg1 ... arg6 sp pc"; all but the call in hexadecimal with 0x. */
bool proc_thread_blocked(pid_t tid, struct proc_blocked *ret) {
    char path[64], buf[256];
    struct text t = TEXT_ON(path);
    uint64_t words[8];
    unsigned n = 0;
    task_path(&t, tid, "/syscall");
    if (sys_read_file(path, buf, sizeof buf) <= 0 || buf[0] == 'r')
        return false;
    int64_t call = 0;
    for (const char *c = buf; *c >= '0' && *c <= '9'; c++)
        call = call * 10 + (*c - '0');
    for (const char *p = buf; n < 8 && (p = strstr(p, " 0x")); n++)
        p = parse_hex(p + 3, &words[n]);
    if (n < 2)
        return false;
    *ret = (struct proc_blocked){buf[0] == '-' ? -1 : call, words[n - 1], words[n - 2]};
    return true;
}

/* "start-end perms offset major:minor inode   path", NUL-terminated. */
static bool parse_map(const char *p, struct proc_map *m) {
    uint64_t major, minor;
    p = parse_hex(p, &m->start);
    if (*p++ != '-')
        return false;
    p = parse_hex(p, &m->end);
    if (p[0] != ' ' || strlen(p) < 6)
        return false;
    m->exec = p[3] == 'x';
    p = parse_hex(p + 6, &m->offset);
    if (*p++ != ' ')
        return false;
    p = parse_hex(p, &major);
    if (*p++ != ':')
        return false;
    p = parse_hex(p, &minor);
    m->dev = major << 32 | minor;
    m->inode = 0;
    for (p += *p == ' '; *p >= '0' && *p <= '9'; p++)
        m->inode = m->inode * 10 + (uint64_t)(*p - '0');
    while (*p == ' ')
        p++;
    struct text path = TEXT_ON(m->path);
    m->path[0] = '\0';
    text_str(&path, p);
    return m->end > m->start && !path.cut;
}

int proc_each_map(void (*fn)(const struct proc_map *map, void *arg), void *arg) {
    /* When main has ended, /proc/self is a zombie without memory; the calling thread is not. */
    int fd = sys_open("/proc/thread-self/maps", O_RDONLY, 0);
    if (fd == -ENOENT)
        fd = sys_open("/proc/self/maps", O_RDONLY, 0);
    if (fd < 0)
        return fd;
    char buf[4096 + 1];
    size_t have = 0;
    ssize_t n;
    bool skipping = false; /* the rest of a line longer than the buffer */
    struct proc_map m;
    while ((n = sys_read(fd, buf + have, sizeof buf - 1 - have)) > 0) {
        have += (size_t)n;
        char *line = buf, *end;
        while ((end = memchr(line, '\n', have - (size_t)(line - buf)))) {
            *end = '\0';
            if (!skipping && parse_map(line, &m))
                fn(&m, arg);
            skipping = false;
            line = end + 1;
        }
        have -= (size_t)(line - buf);
        memmove(buf, line, have);
        if (have == sizeof buf - 1) {
            skipping = true;
            have = 0;
        }
    }
    sys_close(fd);
    return (int)n;
}

uint64_t proc_status(const char *name, uint64_t dflt) {
    char buf[4096];
    if (sys_read_file("/proc/thread-self/status", buf, sizeof buf) <= 0)
        return dflt;
    size_t len = strlen(name);
    for (const char *line = buf; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) != 0 || line[len] != ':')
            continue;
        const char *p = line + len + 1;
        while (*p == ' ' || *p == '\t')
            p++;
        uint64_t v = 0;
        for (; *p >= '0' && *p <= '9'; p++)
            v = v * 10 + (uint64_t)(*p - '0');
        return v;
    }
    return dflt;
}
