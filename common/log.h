#pragma once
/*
 * One line per fact: "cprof: heap: table full at 65536 rows, new stacks go to [other]".
 * Anywhere zone: a line is built on the stack and leaves in one write(2). Two lines a second and
 * kind of message are nobody's business: callers that can repeat say so once (a flag of their own).
 */
#include <stdbool.h>
#include <sys/types.h>

#include "common/fmt.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log {
    enum log_level level;
    char path[512]; /* empty: standard error */
    bool pinned;    /* dev and inode hold what standard error was at load */
    dev_t dev;
    ino_t inode;
};

extern struct log log_to;

/* Remembers what standard error is now. A daemon that closes everything may have its data behind
 * number 2 later: lines go there only while it is still the same file. */
void log_pin(void);

/* A line under construction: log_begin(), text_*(&line.text, ...), log_end(). */
struct log_line {
    char buf[480];
    struct text text;
    bool wanted;
};

void log_begin(struct log_line *l, enum log_level level, const char *area);
void log_end(struct log_line *l);
/* The plain case: one string. */
void log_say(enum log_level level, const char *area, const char *what);
