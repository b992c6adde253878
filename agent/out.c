#include "agent/out.h"

#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

#include "agent/agent.h"
#include "common/sys.h"

enum { HIGH_FD = 900, TRIES = 1000 };

static void clean(struct text *t, const char *s) {
    for (; *s; s++) {
        bool ok = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                  (*s >= '0' && *s <= '9') || strchr("._-", *s);
        text_char(t, ok ? *s : '_');
    }
}

/* 20261120T171340Z, from days since 1970 (Howard Hinnant, "chrono-compatible date algorithms"). */
static void utc(struct text *t, uint64_t ns) {
    uint64_t s = ns / 1000000000u, days = s / 86400 + 719468, rest = s % 86400;
    uint64_t era = days / 146097, doe = days % 146097;
    uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    uint64_t month = mp < 10 ? mp + 3 : mp - 9;
    text_pad(t, yoe + era * 400 + (month <= 2), 4);
    text_pad(t, month, 2);
    text_pad(t, doy - (153 * mp + 2) / 5 + 1, 2);
    text_char(t, 'T');
    text_pad(t, rest / 3600, 2);
    text_pad(t, rest / 60 % 60, 2);
    text_pad(t, rest % 60, 2);
    text_char(t, 'Z');
}

static void host_name(struct text *t) {
    struct utsname u;
    if (sys_call_1(SYS_uname, &u) == 0)
        clean(t, u.nodename);
}

/* "-2" goes in front of the first dot of the last component: cprof-x-1-cpu-1-2.pb.gz. */
static void insert_try(struct text *t, size_t name_at, unsigned try) {
    char tail[256];
    char *dot = strstr(t->at + name_at, ".pb");
    dot = dot ? dot : strrchr(t->at + name_at, '.');
    struct text rest = TEXT_ON(tail);
    tail[0] = '\0';
    if (dot && dot > t->at + name_at) {
        text_str(&rest, dot);
        t->len = (size_t)(dot - t->at);
    }
    t->cut |= rest.cut;
    text_char(t, '-');
    text_u64(t, try);
    text_str(t, tail);
}

bool out_name(const char *pattern, const char *folder, const char *exe, const char *kind,
              unsigned number, unsigned try, uint64_t utc_ns, char *to, size_t cap) {
    struct text t = {to, 0, cap, false};
    bool numbered = false;
    if (pattern[0] != '/' && folder[0]) {
        text_str(&t, folder);
        text_char(&t, '/');
    }
    for (const char *p = pattern; *p; p++) {
        if (*p != '%' || !p[1]) {
            text_char(&t, *p);
            continue;
        }
        switch (*++p) {
        case 'e': clean(&t, exe); break;
        case 'p': text_u64(&t, (uint64_t)sys_getpid()); break;
        case 'k': text_str(&t, kind); break;
        case 'n':
            text_u64(&t, number + try - 1);
            numbered = true;
            break;
        case 't': utc(&t, utc_ns); break;
        case 'h': host_name(&t); break;
        default: text_char(&t, *p); break;
        }
    }
    const char *slash = strrchr(to, '/');
    if (try > 1 && !numbered)
        insert_try(&t, slash ? (size_t)(slash + 1 - to) : 0, try);
    return !t.cut;
}

static bool name_it(struct out *o, const char *kind, unsigned number, unsigned try) {
    return out_name(agent.options.out, agent.folder, agent.exe_name, kind, number, try,
                    sys_clock_ns(CLOCK_REALTIME), o->path, sizeof o->path);
}

/* One of that name may be left of a process that was killed: in a container all have one pid. */
static bool name_temporary(struct out *o, unsigned try) {
    struct text t = TEXT_ON(o->temporary);
    const char *slash = strrchr(o->path, '/');
    size_t folder = slash ? (size_t)(slash + 1 - o->path) : 0;
    text_bytes(&t, o->path, folder);
    text_char(&t, '.');
    text_str(&t, o->path + folder);
    text_char(&t, '.');
    text_u64(&t, (uint64_t)sys_gettid());
    if (try > 1) {
        text_char(&t, '-');
        text_u64(&t, try);
    }
    text_str(&t, ".tmp");
    return !t.cut;
}

static int open_temporary(struct out *o) {
    int fd = -EEXIST;
    for (unsigned try = 1; fd == -EEXIST && try < TRIES; try++)
        fd = name_temporary(o, try)
                 ? sys_open(o->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600)
                 : -ENAMETOOLONG;
    return fd;
}

/* The high twin where the limit allows one; the low number is free again at once. */
static int fd_move_up(int fd) {
    long high = sys_call_3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, HIGH_FD);
    if (high < 0)
        return fd;
    sys_close(fd);
    return (int)high;
}

int out_open(struct out *o, const char *kind, unsigned number) {
    o->fd = -1;
    o->path[0] = o->temporary[0] = '\0';
    struct stat st;
    unsigned try = 1;
    do
        if (!name_it(o, kind, number, try))
            return -ENAMETOOLONG;
    while (sys_call_4(SYS_newfstatat, AT_FDCWD, o->path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           ++try < TRIES);
    quiet_begin(&o->quiet);
    int fd = open_temporary(o);
    if (fd < 0) {
        quiet_end(&o->quiet);
        return fd;
    }
    o->fd = fd_move_up(fd);
    sys_call_2(SYS_fchmod, o->fd, 0600);
    return 0;
}

/* Between looking and renaming the name may have been taken: then the next one. */
int out_commit(struct out *o) {
    sys_close(o->fd);
    o->fd = -1;
    int err = sys_rename_new(o->temporary, o->path);
    char taken[sizeof o->path];
    for (unsigned try = 2; err == -EEXIST && try < TRIES; try++) {
        struct text t = {o->path, strlen(o->path), sizeof o->path, false};
        const char *slash = strrchr(o->path, '/');
        memcpy(taken, o->path, sizeof taken);
        insert_try(&t, slash ? (size_t)(slash + 1 - o->path) : 0, try);
        if (t.cut)
            break;
        err = sys_rename_new(o->temporary, o->path);
        if (err == -EEXIST)
            memcpy(o->path, taken, sizeof taken);
    }
    if (err)
        sys_unlink(o->temporary);
    quiet_end(&o->quiet);
    return err;
}

void out_abandon(struct out *o) {
    sys_close(o->fd);
    sys_unlink(o->temporary);
    o->fd = -1;
    quiet_end(&o->quiet);
}
