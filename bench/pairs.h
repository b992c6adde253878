#pragma once
/* What bench/heap.c and bench/turns.c have in common: blocks chosen at random, and their clock. */
#include <stddef.h>
#include <stdint.h>
#include <time.h>

static inline uint64_t random_next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static inline size_t some_size(uint64_t r) { return 16 + (r & 255); }

static inline double cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* who else runs on this machine does not count */
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}
