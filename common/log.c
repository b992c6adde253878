/*
 * The log file is opened for every line and closed again: a held descriptor would be closed by a
 * daemon's closefrom() and the number reused for the host's own data (libunwind#274 ate ssh's
 * packets that way).
 */
#include "common/log.h"

#include "common/quiet.h"
#include "common/sys.h"

struct log log_to = {.level = LOG_WARN};

void log_pin(void) {
    struct stat st;
    log_to.pinned = true;
    log_to.inode = 0;
    if (sys_fstat(2, &st) == 0) {
        log_to.dev = st.st_dev;
        log_to.inode = st.st_ino;
    }
}

static bool stderr_is_as_it_was(void) {
    struct stat st;
    return !log_to.pinned ||
           (sys_fstat(2, &st) == 0 && st.st_dev == log_to.dev && st.st_ino == log_to.inode);
}

void log_begin(struct log_line *l, enum log_level level, const char *area) {
    l->wanted = level <= log_to.level;
    l->text = (struct text){l->buf, 0, sizeof l->buf - 1, false};
    text_str(&l->text, "cprof: ");
    text_str(&l->text, area);
    text_str(&l->text, ": ");
}

static void write_line(const char *line, size_t n) {
    if (!log_to.path[0]) {
        if (stderr_is_as_it_was())
            sys_write_all(2, line, n);
        return;
    }
    int fd = sys_open(log_to.path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0)
        return;
    sys_write_all(fd, line, n);
    sys_close(fd);
}

void log_end(struct log_line *l) {
    struct quiet q;
    if (!l->wanted)
        return;
    l->buf[l->text.len++] = '\n';
    quiet_begin(&q);
    write_line(l->buf, l->text.len);
    quiet_end(&q);
}

void log_say(enum log_level level, const char *area, const char *what) {
    struct log_line l;
    log_begin(&l, level, area);
    text_str(&l.text, what);
    log_end(&l);
}
