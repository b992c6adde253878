#include "agent/grid.h"

#include <criterion/criterion.h>
#include <math.h>

static const uint64_t MS = 1000000, US = 1000, S = 1000000000u;

struct estimate {
    double delay, count;
    unsigned samples;
};

static struct estimate run(uint64_t seed, uint64_t period, uint64_t d, unsigned n) {
    struct grid g = {.rng = {seed}};
    struct estimate e = {0};
    for (unsigned i = 0; i < n; i++) {
        struct grid_hit hit;
        if (!grid_step(&g, period, d, &hit))
            continue;
        e.delay += (double)hit.delay_ns;
        e.count += (double)hit.count / GRID_ONE;
        e.samples++;
    }
    return e;
}

/*
 * Of one site, all but the two pieces at the ends have exactly one point: the delay is off by less
 * than two periods, whatever the numbers drawn.
 */
Test(grid, a_site_alone_is_off_by_two_periods_at_most) {
    for (uint64_t seed = 1; seed < 50; seed++) {
        struct estimate e = run(seed, 100 * US, US, 1000000);
        cr_assert_leq(fabs(e.delay - (double)S), 2.0 * 100 * (double)US);
        cr_assert_leq(fabs(e.count - 1e6), 2.0 * 100);
        cr_assert_leq(e.samples, 10002u);
    }
}

Test(grid, waits_of_a_period_or_more_are_exact) {
    struct estimate e = run(7, 100 * US, MS, 1000);
    cr_assert_eq(e.delay, (double)S);
    cr_assert_eq(e.count, 1000);
    e = run(7, 100 * US, S, 1);
    cr_assert_eq(e.delay, (double)S);
    cr_assert_eq(e.count, 1);
}

Test(grid, ten_milliseconds_are_always_kept) {
    struct estimate e = run(7, S, 10 * MS, 3);
    cr_assert_eq(e.delay, (double)(30 * MS));
    cr_assert_eq(e.count, 3);
}

Test(grid, a_period_of_one_keeps_everything) {
    struct estimate e = run(7, 1, 1, 1000);
    cr_assert_eq(e.samples, 1000);
    cr_assert_eq(e.delay, 1000);
    cr_assert_eq(e.count, 1000);
}

Test(grid, a_wait_of_nothing_is_no_sample) { cr_assert_eq(run(7, 1, 0, 1000).samples, 0); }

/*
 * Two sites that alternate, each wait half a period: a fixed grid gives all to one of them. Here a
 * piece of the line (two waits) goes to either with probability 1/2, so the share of one in n
 * pieces has a standard deviation of at most sqrt(n)/2; four of those are allowed.
 */
Test(grid, sites_that_alternate_do_not_fall_into_step) {
    enum { PIECES = 10000 };
    struct grid g = {.rng = {3}};
    double of[2] = {0};
    for (unsigned i = 0; i < 2 * PIECES; i++) {
        struct grid_hit hit;
        if (grid_step(&g, 100, 50, &hit))
            of[i % 2] += (double)hit.delay_ns / 100;
    }
    cr_assert_float_eq(of[0], PIECES / 2.0, 4 * sqrt(PIECES) / 2);
    cr_assert_float_eq(of[1], PIECES / 2.0, 4 * sqrt(PIECES) / 2);
}

/* The mean over many lines of a wait shorter than a period: n runs of one wait each hit with
 * probability d/period and weigh a period then; standard error sqrt(p(1-p)/n). */
Test(grid, one_short_wait_is_unbiased_over_many_threads) {
    enum { RUNS = 200000 };
    double p = 0.3, delay = 0, count = 0;
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        struct estimate e = run(seed * 7919, 1000, 300, 1);
        delay += e.delay / 300 / RUNS;
        count += e.count / RUNS;
    }
    double error = sqrt((1 - p) / p / RUNS);
    cr_assert_float_eq(delay, 1, 4 * error);
    cr_assert_float_eq(count, 1, 4 * error);
}

/* The period changes at every step: each piece weighs what it was drawn with. n pieces of at most
 * 1000 ns, alone on the line: off by two of the longest. */
Test(grid, the_period_may_change_at_any_time) {
    struct grid g = {.rng = {5}};
    struct rng rng = {9};
    double delay = 0;
    for (unsigned i = 0; i < 1000000; i++) {
        struct grid_hit hit;
        if (grid_step(&g, 100 + rng_below(&rng, 900), 50, &hit))
            delay += (double)hit.delay_ns;
    }
    cr_assert_float_eq(delay, 50e6, 2000);
}

static void sample(struct grid_pace *p, unsigned n, uint64_t from, uint64_t every) {
    for (unsigned i = 0; i < n; i++)
        grid_pace_count(p, from + i * every);
}

Test(grid, a_flood_of_samples_makes_the_period_longer) {
    struct grid_pace p;
    grid_pace_init(&p, 100 * US, 0);
    sample(&p, 100000, 0, 10 * US);
    cr_assert_gt(grid_pace_period(&p), 100 * US);
    cr_assert_leq(grid_pace_period(&p), GRID_LONGEST_NS);
}

/* 60 s of waits of 1 ms in each second. */
Test(grid, a_crowd_that_waits_for_each_other_pays_for_a_thousand_stacks) {
    struct grid_pace p;
    struct grid g = {.rng = {11}};
    unsigned samples = 0;
    grid_pace_init(&p, 100 * US, 0);
    for (uint64_t now = 0; now < 20 * S; now += S / 60000) {
        struct grid_hit hit;
        if (!grid_step(&g, grid_pace_period(&p), MS, &hit))
            continue;
        grid_pace_count(&p, now);
        samples += now >= 10 * S;
    }
    cr_assert_leq(samples, 10 * 2 * GRID_BUDGET);
}

Test(grid, the_period_comes_back_to_what_was_asked) {
    struct grid_pace p;
    grid_pace_init(&p, 100 * US, 0);
    sample(&p, 100000, 0, 10 * US);
    sample(&p, 200, S, 100 * MS);
    cr_assert_eq(grid_pace_period(&p), 100 * US);
}

Test(grid, below_a_microsecond_it_stays_as_asked) {
    struct grid_pace p;
    grid_pace_init(&p, 1, 0);
    sample(&p, 100000, 0, US);
    cr_assert_eq(grid_pace_period(&p), 1);
}
