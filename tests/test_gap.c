#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "agent/gap.h"

static const double two32 = 4294967296.0;

Test(gap, logarithm_is_right_to_a_trillionth) {
    struct rng r = {1};
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t x = rng_next(&r) >> (i % 60);
        if (!x)
            continue;
        double right = 64 - log2l((long double)x),
               got = (double)gap_minus_log2(x) / 1099511627776.0;
        cr_assert_float_eq(got, right, 2e-12, "%lx", (unsigned long)x);
    }
}

Test(gap, logarithm_of_the_extremes) {
    cr_assert_eq(gap_minus_log2((uint64_t)1 << 63), (uint64_t)1 << 40);
    cr_assert_eq(gap_minus_log2(1), (uint64_t)64 << 40);
    cr_assert_leq(gap_minus_log2(UINT64_MAX), 1);
}

Test(gap, rate_of_one_is_every_block) {
    struct rng r = {1};
    for (unsigned i = 0; i < 1000; i++)
        cr_assert_eq(gap_draw(&r, 1), 0);
    cr_assert_eq(gap_weight(0, 1), (uint64_t)1 << 32);
    cr_assert_eq(gap_weight(1000, 1), (uint64_t)1 << 32);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Anderson and Darling's A^2 of values that should be uniform in (0, 1). */
static double anderson_darling(double *u, unsigned n) {
    qsort(u, n, sizeof *u, by_value);
    double sum = 0;
    for (unsigned i = 0; i < n; i++)
        sum += (2.0 * i + 1) * (log(u[i]) + log1p(-u[n - 1 - i]));
    return -(double)n - sum / n;
}

/* Floored gaps are spread again within their unit, so that they are continuous; at a large rate
 * that changes nothing. A^2 exceeds 6.0 with probability 1e-3 / 1.2 (Marsaglia 2004); the seeds are
 * fixed.
 */
Test(gap, gaps_are_exponential) {
    enum { N = 100000 };
    static double u[N];
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct rng r = {seed}, within = {seed + 100};
        uint64_t rate = (uint64_t)512 << (3 * seed);
        double q = -expm1(-1.0 / (double)rate); /* of the floored distribution */
        for (unsigned i = 0; i < N; i++) {
            double low = (double)gap_draw(&r, rate);
            double spread = ((double)(rng_next(&within) >> 11) + 0.5) / 9007199254740992.0;
            u[i] = -expm1(-low / (double)rate) + spread * q * exp(-low / (double)rate);
        }
        cr_assert_lt(anderson_darling(u, N), 6.0, "seed %lu", (unsigned long)seed);
    }
}

/* The mean of floor(Exp(R)) is 1 / (e^(1/R) - 1), its deviation R: 4 standard errors. */
Test(gap, mean_gap_is_the_rate) {
    enum { N = 1000000 };
    static const uint64_t rates[] = {2, 100, 524288, GAP_RATE_MAX};
    for (unsigned k = 0; k < 4; k++) {
        struct rng r = {k + 1};
        double sum = 0, rate = (double)rates[k];
        for (unsigned i = 0; i < N; i++)
            sum += (double)gap_draw(&r, rates[k]);
        cr_assert_float_eq(sum / N, 1 / expm1(1 / rate), 4 * rate / sqrt(N), "rate %g", rate);
    }
}

Test(gap, weight_is_horvitz_and_thompsons) {
    static const uint64_t rates[] = {
        2, 3, 100, 4096, 100000, 524288, (uint64_t)1 << 30, (uint64_t)100000 << 19, GAP_RATE_MAX};
    for (unsigned k = 0; k < sizeof rates / sizeof *rates; k++)
        for (uint64_t size = 0; size < (uint64_t)1 << 47; size = size * 3 / 2 + 1) {
            double right = -1 / expm1(-((double)size + 1) / (double)rates[k]);
            double got = (double)gap_weight(size, rates[k]) / two32;
            double error = rates[k] <= (uint64_t)1 << 30 ? 2e-9 : 3e-7;
            cr_assert_float_eq(got / right, 1, error, "size %lu rate %lu: %g", (unsigned long)size,
                               (unsigned long)rates[k], right);
        }
}

Test(gap, weight_of_the_largest_size_is_one) {
    cr_assert_eq(gap_weight(UINT64_MAX, 2), (uint64_t)1 << 32);
    cr_assert_eq(gap_weight(UINT64_MAX, GAP_RATE_MAX), (uint64_t)1 << 32);
}

struct estimate {
    double objects, bytes;
};

/* n blocks of one size, sampled the way the doors do it. */
static struct estimate sampled(struct rng *r, uint64_t size, uint64_t rate, unsigned n) {
    struct estimate e = {0};
    uint64_t left = gap_draw(r, rate);
    for (unsigned i = 0; i < n; i++) {
        if (left >= size + 1) {
            left -= size + 1;
            continue;
        }
        double weight = (double)gap_weight(size, rate) / two32;
        e.objects += weight;
        e.bytes += weight * (double)size;
        left = gap_draw(r, rate);
    }
    return e;
}

/* The variance of one block's estimate is size^2 (1/p - 1), p the chance to be sampled: for size >>
 * 1 that is rate^2 * x^2 / (e^x - 1). 4 standard errors, in objects and in bytes. */
Test(gap, estimates_are_unbiased_at_every_size) {
    enum { N = 2000000, RATE = 65536 };
    static const double xs[] = {1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 0.5, 1, 2, 4, 8};
    for (unsigned k = 0; k < sizeof xs / sizeof *xs; k++) {
        struct rng r = {k + 77};
        uint64_t size = (uint64_t)(xs[k] * RATE);
        struct estimate e = sampled(&r, size, RATE, N);
        double p = -expm1(-((double)size + 1) / RATE), error = 4 * sqrt((1 / p - 1) * N);
        cr_assert_float_eq(e.objects, N, error, "x = %g", xs[k]);
        cr_assert_float_eq(e.bytes, (double)N * (double)size, error * (double)size, "x = %g",
                           xs[k]);
    }
}

/* Every block is sampled with its own chance, whatever stands before it: Go's issue 12620. */
Test(gap, large_blocks_do_not_disturb_small_ones_between_them) {
    enum { N = 4000000, RATE = 4096, SMALL = 32, LARGE = 16384 };
    struct rng r = {5};
    uint64_t left = gap_draw(&r, RATE);
    double small = 0;
    for (unsigned i = 0; i < 2 * N; i++) {
        uint64_t size = i % 2 ? LARGE : SMALL;
        if (left >= size + 1) {
            left -= size + 1;
            continue;
        }
        small += size == SMALL ? (double)gap_weight(SMALL, RATE) / two32 : 0;
        left = gap_draw(&r, RATE);
    }
    double p = -expm1(-(SMALL + 1.0) / RATE);
    cr_assert_float_eq(small, N, 4 * sqrt((1 / p - 1) * N));
}
