/*
 * What the doors of a preloaded library add to malloc and free, in one process and one heap: `turns
 * hot|batch|cold LIBRARY [THREADS]`, LIBRARY being the one that really allocates. Batches of
 * pairs through the doors and batches past them take turns, in an order drawn by lot. Whole runs of
 * a program differ by 5 ns a pair, as their memory happens to lie; here both sides have the same.
 *
 * Prints ns of CPU time per pair past the doors (median of the batches), what the doors add, and
 * the standard error of that: the mean of the differences of neighbouring batches without the
 * highest and the lowest eighth. With threads, the means of all.
 */
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/pairs.h"

/* A million live blocks to a thread, half of them each side's. */
enum { MOST_THREADS = 16, SLOT_BITS = 19, AT_ONCE = 1000 };
/* The other side's batch has left nothing in L2, and of the doors' own memory every pair touches
 * another of some 600 lines (a byte of the filter for a page of heap): they are back after SETTLE.
 */
enum { TURNS = 600, PAIRS = 10 * AT_ONCE, SETTLE = 10 * AT_ONCE };
enum { REAL, DOOR, SIDES };

struct kind;

struct allocator {
    void *(*malloc)(size_t n);
    void (*free)(void *p);
};

struct worker {
    pthread_t thread;
    uint64_t random;
    void **live[SIDES]; /* what a side made that side frees */
    double real_ns, more_ns, error_ns;
};

static struct {
    struct allocator sides[SIDES];
    const struct kind *kind;
    int threads;
    struct worker workers[MOST_THREADS];
} bench;

static void hot(struct worker *w, int side, int n) {
    const struct allocator a = bench.sides[side];
    for (int i = 0; i < n; i++) {
        void *volatile p = a.malloc(64); /* or the compiler removes the pair */
        a.free(p);
    }
}

/* A thousand blocks of mixed sizes, freed in the order in which they were made. */
static void batch(struct worker *w, int side, int n) {
    const struct allocator a = bench.sides[side];
    for (int i = 0; i < n; i += AT_ONCE) {
        for (int k = 0; k < AT_ONCE; k++)
            w->live[side][k] = a.malloc(some_size(random_next(&w->random)));
        for (int k = 0; k < AT_ONCE; k++)
            a.free(w->live[side][k]);
    }
}

/* Any of the live blocks is replaced. All of the loop's state fits into registers: where it is
 * loaded and divided by, behind stores to addresses not known yet, the loop waits for itself, takes
 * up to twice the time, and what is measured is how the doors fit into that (docs/performance.md).
 */
static void cold(struct worker *w, int side, int n) {
    const struct allocator a = bench.sides[side];
    uint64_t random = w->random;
    void **live = w->live[side];
    for (int left = n; left > 0; left--) {
        void **block = &live[random_next(&random) >> (64 - SLOT_BITS)];
        a.free(*block);
        *block = a.malloc(some_size(random));
        *(char *)*block = 1;
    }
    w->random = random;
}

static const struct kind {
    const char *name;
    void (*pairs)(struct worker *w, int side, int n);
    int slots;
} kinds[] = {
    {"hot", hot, 0},
    {"batch", batch, 0},
    {"cold", cold, 1 << SLOT_BITS},
};

static const struct kind *find_kind(const char *name) {
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

static double timed(struct worker *w, int side) {
    bench.kind->pairs(w, side, SETTLE);
    double begin = cpu_ns();
    bench.kind->pairs(w, side, PAIRS);
    return (cpu_ns() - begin) / PAIRS;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void summarize(struct worker *w, double *real, double *more) {
    qsort(real, TURNS, sizeof *real, compare);
    qsort(more, TURNS, sizeof *more, compare);
    double sum = 0, squares = 0;
    int from = TURNS / 8, to = TURNS - TURNS / 8, n = to - from;
    for (int i = from; i < to; i++) {
        sum += more[i];
        squares += more[i] * more[i];
    }
    w->real_ns = real[TURNS / 2];
    w->more_ns = sum / n;
    w->error_ns = sqrt((squares / n - w->more_ns * w->more_ns) / n);
}

static void *work(void *arg) {
    struct worker *w = arg;
    double *real = calloc(TURNS, sizeof *real), *more = calloc(TURNS, sizeof *more);
    for (int side = 0; side < SIDES; side++)
        w->live[side] = calloc((size_t)bench.kind->slots + AT_ONCE, sizeof *w->live[side]);
    for (int i = 0; i < bench.kind->slots; i++)
        for (int side = 0; side < SIDES; side++)
            w->live[side][i] = bench.sides[side].malloc(some_size(random_next(&w->random)));
    for (int i = 0; i < TURNS; i++) {
        double ns[SIDES];
        int first = random_next(&w->random) >> 40 & 1;
        ns[first] = timed(w, first);
        ns[!first] = timed(w, !first);
        real[i] = ns[REAL];
        more[i] = ns[DOOR] - ns[REAL];
    }
    summarize(w, real, more);
    return NULL;
}

static int look_up(const char *library) {
    void *handle = dlopen(library, RTLD_NOW | RTLD_NOLOAD);
    void *m = handle ? dlsym(handle, "malloc") : NULL, *f = handle ? dlsym(handle, "free") : NULL;
    if (!m || !f)
        return -1;
    memcpy(&bench.sides[REAL].malloc, &m, sizeof m);
    memcpy(&bench.sides[REAL].free, &f, sizeof f);
    bench.sides[DOOR] = (struct allocator){malloc, free};
    return 0;
}

int main(int argc, char **argv) {
    bench.kind = argc > 2 ? find_kind(argv[1]) : NULL;
    bench.threads = argc > 3 ? atoi(argv[3]) : 1;
    if (!bench.kind || bench.threads < 1 || bench.threads > MOST_THREADS || look_up(argv[2]) != 0) {
        fprintf(stderr, "usage: turns hot|batch|cold LIBRARY [THREADS]\n");
        return 2;
    }
    for (int i = 0; i < bench.threads; i++) {
        bench.workers[i].random = 88172645463325252u + (uint64_t)i * 977;
        if (i > 0)
            pthread_create(&bench.workers[i].thread, NULL, work, &bench.workers[i]);
    }
    work(&bench.workers[0]); /* one thread means a single-threaded program */
    double real = 0, more = 0, error = 0;
    for (int i = 0; i < bench.threads; i++) {
        if (i > 0)
            pthread_join(bench.workers[i].thread, NULL);
        real += bench.workers[i].real_ns / bench.threads;
        more += bench.workers[i].more_ns / bench.threads;
        error += bench.workers[i].error_ns / bench.threads;
    }
    printf("%.2f %+.2f %.2f\n", real, more, error);
    return 0;
}
