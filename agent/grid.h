#pragma once
/*
 * ANYWHERE. Which waits become samples, and how much each stands for. One knob: the period, the
 * mean waiting time per sample.
 *
 * A thread's waits are laid end to end on a line that is cut into pieces of one period; in each
 * piece one point is drawn. A wait of length d that covers k points becomes a sample of weight
 *
 *     delay = k * period,   count = k * period / d
 *
 * E[k] = d / period, so both are unbiased for many short waits and for one long wait alike, and no
 * two random numbers are spent per wait: one subtraction, and one number per sample. Against a
 * Poisson process of the same rate the error of a site's delay is that of one piece, not of the
 * square root of their number (a million waits of 1 us: 0.0005 against 0.03 of the truth); against
 * a fixed grid, threads that alternate between two sites cannot fall into step with it.
 *
 * Waits of a period or more, and all of GRID_KEEP_NS or more, always become a sample, of weight
 * (d, 1), and leave the line alone. Long and short waits are disjoint by d, each part is estimated
 * without bias, hence so is the sum.
 *
 * A piece keeps the period it was drawn with, so the period may change at any time; what is long is
 * asked of the period in force, or a thread of long waits alone would stay with its first piece.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/rng.h"

enum { GRID_KEEP_NS = 10000000, GRID_ONE = 1 << 16 };

/* One line, of one thread. Valid when zero, except that the random numbers want a seed. */
struct grid {
    int64_t left;    /* to the next point */
    uint64_t rest;   /* from that point to the end of its piece */
    uint64_t period; /* length of that piece; 0: none drawn yet */
    struct rng rng;
};

struct grid_hit {
    uint64_t delay_ns;
    uint64_t count; /* in units of 1 / GRID_ONE */
};

/* A wait of d ns ended; period_ns is the one in force. True if it is a sample. */
bool grid_step(struct grid *g, uint64_t period_ns, uint64_t d, struct grid_hit *ret_hit);

/*
 * The period in force, for all threads: longer while samples come faster than a budget, so that a
 * program with a million waits a second pays for a thousand stacks: 64 threads that mostly wait for
 * each other wait 60 s in a second. What was asked for below GRID_EXACT_NS is kept whatever it
 * costs.
 */
enum {
    GRID_BUDGET = 1000 /* samples a second */,
    GRID_EXACT_NS = 1000,
    GRID_LONGEST_NS = 1000000000
};

struct grid_pace {
    uint64_t asked_ns;
    atomic_uint_fast64_t period_ns;
    atomic_uint_fast64_t since_ns; /* where the present count began */
    atomic_uint n;
};

void grid_pace_init(struct grid_pace *p, uint64_t period_ns, uint64_t now);
/* A sample was taken at `now`. */
void grid_pace_count(struct grid_pace *p, uint64_t now);
static inline uint64_t grid_pace_period(struct grid_pace *p) {
    return atomic_load_explicit(&p->period_ns, memory_order_relaxed);
}
