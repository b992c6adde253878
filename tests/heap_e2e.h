#pragma once
/*
 * What the heap's tests share: the four sums of a function in a profile, and how far an unbiased
 * estimate of them may be off.
 *
 * A block of k bytes is sampled with p = 1 - e^-x, x = k/R, and then counts for 1/p blocks and k/p
 * bytes. That has the variance 1/p - 1 = 1/(e^x - 1) in blocks, and k^2 times that in bytes:
 * x^2/(e^x - 1) in units of R^2. Only what the profile is made of can be wrong by design.
 *
 * Such sums are no normal distribution: of 6,000 blocks of 8 R two are missed on the average, and
 * eight, which is more than four standard errors, once in 900 runs. The bounds are Bernstein's
 * therefore: a sum of independent terms, none further than b from its mean, with the variance v, is
 * off by t or more with a probability below 2 exp(-z^2 / 2), where z = t / sqrt(v + b t / 3). Five
 * of these errors are one case in 130,000 at the very most, whatever the sizes and rates, and with
 * hundreds of samples one in a million. A test that compares dozens of sums takes four (one in
 * 1,500 at most) and lets a second run speak before it complains.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/e2e.h"

enum { ALLOC_OBJECTS, ALLOC_SPACE, INUSE_OBJECTS, INUSE_SPACE, HEAP_VALUES };

struct heap_sums {
    double of[HEAP_VALUES]; /* all zero: the function is not there */
};

static inline bool heap_long(void) { return getenv("CPROF_TEST_LONG") != NULL; }

/* The rows of --cum; free() them. */
static inline char *heap_rows(const struct e2e *r, const char *pattern) {
    return e2e_text(r, pattern, "--cum");
}

static inline struct heap_sums heap_find(const char *rows, const char *function) {
    struct heap_sums sums = {0};
    while (*rows) {
        const char *end = strchr(rows, '\n');
        if (!end)
            end = rows + strlen(rows);
        char *p = (char *)rows, *after;
        int n = 0;
        for (double v; n < HEAP_VALUES && (v = strtod(p, &after), after > p && *after == ' ');
             p = after)
            sums.of[n++] = v;
        if (n == 2) /* heappeak knows only what is in use */
            sums = (struct heap_sums){{0, 0, sums.of[0], sums.of[1]}};
        if (p < end && (size_t)(end - p - 1) == strlen(function) &&
            strncmp(p + 1, function, strlen(function)) == 0)
            return sums;
        sums = (struct heap_sums){0};
        rows = *end ? end + 1 : end;
    }
    return (struct heap_sums){0};
}

/* Of one function, when only one is of interest. */
static inline struct heap_sums heap_of(const struct e2e *r, const char *pattern,
                                       const char *function) {
    char *rows = heap_rows(r, pattern);
    struct heap_sums sums = heap_find(rows, function);
    free(rows);
    return sums;
}

/* Standard error of the number of blocks, n of them, each of so many bytes. */
static inline double heap_error(double n, double bytes, double rate) {
    return sqrt(n / expm1((bytes + 1) / rate));
}

/* How far off the number of blocks may be: five of Bernstein's errors, the root of t^2 = 25 (v + b
 * t / 3). A sample stands for 1/p blocks, one that was missed for one. A rate of 1 is exact. */
static inline double heap_bound(double n, double bytes, double rate) {
    if (rate <= 1)
        return 0;
    double error = heap_error(n, bytes, rate), b = -1 / expm1(-(bytes + 1) / rate);
    double half = 25 * b / 6;
    return half + sqrt(half * half + 25 * error * error);
}

/* What a site made, what it kept, of which size, at which rate. */
struct heap_truth {
    double made, kept, bytes, rate;
};

/* How many of Bernstein's errors the worst of the four sums is off; the sign is that of the
 * deviation. */
static inline double heap_deviation(const struct heap_sums *sums, struct heap_truth t) {
    double truth[HEAP_VALUES] = {t.made, t.made * t.bytes, t.kept, t.kept * t.bytes}, worst = 0;
    double b = -1 / expm1(-(t.bytes + 1) / t.rate);
    for (int i = 0; i < HEAP_VALUES; i++) {
        double unit = i == ALLOC_SPACE || i == INUSE_SPACE ? t.bytes : 1;
        double error = heap_error(i < INUSE_OBJECTS ? t.made : t.kept, t.bytes, t.rate) * unit;
        double off = sums->of[i] - truth[i];
        off /= sqrt(error * error + b * unit * fabs(off) / 3) + 1; /* the file holds integers */
        if (fabs(off) > fabs(worst))
            worst = off;
    }
    return worst;
}

/* All of a function's sums, to the last byte. */
static inline void heap_is(const char *rows, const char *function, double made, double made_bytes,
                           double kept, double kept_bytes) {
    struct heap_sums s = heap_find(rows, function);
    cr_expect(
        s.of[ALLOC_OBJECTS] == made && s.of[ALLOC_SPACE] == made_bytes &&
            s.of[INUSE_OBJECTS] == kept && s.of[INUSE_SPACE] == kept_bytes,
        "%s: %.0f blocks of %.0f bytes, %.0f of %.0f in use, instead of %.0f of %.0f, %.0f of "
        "%.0f\n%.2000s",
        function, s.of[ALLOC_OBJECTS], s.of[ALLOC_SPACE], s.of[INUSE_OBJECTS], s.of[INUSE_SPACE],
        made, made_bytes, kept, kept_bytes, rows);
}

/* Bytes in use in blocks of that size (the label). */
static inline double heap_in_use_of_size(const struct e2e *r, const char *pattern, long size) {
    char *rows = e2e_text(r, pattern, "--by bytes"), *p = rows;
    double sum = 0;
    while (p && *p) {
        char *rest;
        double v = strtod(p, &rest);
        if (strtol(rest, &rest, 10) == size && *rest == '\n')
            sum = v;
        p = strchr(p, '\n');
        p = p ? p + 1 : NULL;
    }
    free(rows);
    return sum;
}
