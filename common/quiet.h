#pragma once
/*
 * ANYWHERE. A stretch of work during which this thread gets no signal, and after which none of our
 * making is left: a write beyond RLIMIT_FSIZE raises SIGXFSZ and one to a closed pipe SIGPIPE, and
 * both kill.
 */
#include <stdint.h>

struct quiet {
    uint64_t mask;    /* the thread's own */
    uint64_t pending; /* signals that waited before us */
};

void quiet_begin(struct quiet *q);
void quiet_end(const struct quiet *q);
