/*
 * What allocating costs: `heap NAME [THREADS [DIVISOR]]` prints nanoseconds of CPU time per
 * malloc+free pair, the mean of the threads in their best batch; `heap live N` kilobytes of RSS
 * with N blocks alive. A divisor makes the batches shorter and the live blocks up to
 * ten times fewer, for profilers that need a thousand times as long: a million blocks took them 6
 * s. Nothing here knows the agent: run it with and without.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/pairs.h"

enum { MOST_THREADS = 16, LIVE_BLOCKS = 1000000, FEWER = 10, LARGE = 1 << 20 };

struct worker {
    pthread_t thread;
    uint64_t random;
    void **live;
    double best_ns;
};

struct op {
    const char *name;
    void (*batch)(struct worker *w, int n);
    int n, batches;
    int live; /* blocks of all threads together that are alive before the first batch */
};

static struct {
    const struct op *op;
    int threads, divisor;
    pthread_barrier_t start;
    double ns[MOST_THREADS];
    struct worker workers[MOST_THREADS];
} bench;

static void hot(struct worker *w, int n) {
    for (int i = 0; i < n; i++) {
        void *volatile p = malloc(64); /* or the compiler removes the pair */
        free(p);
    }
}

static int live_each(void) {
    int fewer = bench.divisor < FEWER ? bench.divisor : FEWER;
    return bench.op->live / bench.threads / fewer;
}

static void cold(struct worker *w, int n) {
    uint64_t live = (uint64_t)live_each();
    for (int i = 0; i < n; i++) {
        uint64_t r = random_next(&w->random);
        void **slot = &w->live[(r >> 8) % live];
        free(*slot);
        *slot = malloc(some_size(r));
        *(char *)*slot = 1;
    }
}

static void large(struct worker *w, int n) {
    for (int i = 0; i < n; i++) {
        char *volatile p = malloc(LARGE);
        *p = 1;
        free(p);
    }
}

static void large_used(struct worker *w, int n) {
    for (int i = 0; i < n; i++) {
        char *volatile p = malloc(LARGE);
        memset(p, i, LARGE);
        free(p);
    }
}

/* n pairs, each at the end of `depth` calls through two functions chosen by the bits of path. */
typedef void descend(unsigned depth, uint64_t path, int n);
static descend left, right;

static inline __attribute__((always_inline)) void down(unsigned depth, uint64_t path, int n) {
    if (depth)
        (path & 1 ? left : right)(depth - 1, path >> 1, n);
    else
        hot(NULL, n);
    __asm__ volatile("");
}

static __attribute__((noinline)) void left(unsigned depth, uint64_t path, int n) {
    down(depth, path, n);
    __asm__ volatile("nop");
}

static __attribute__((noinline)) void right(unsigned depth, uint64_t path, int n) {
    down(depth, path, n);
    __asm__ volatile("");
}

static void depth10(struct worker *w, int n) { left(10, 0x155, n); }
static void depth30(struct worker *w, int n) { left(30, 0x15555555, n); }

/* A thousand stacks of 30 frames in turn. */
static void stacks(struct worker *w, int n) {
    for (int i = 0; i < n; i++)
        left(30, random_next(&w->random) % 1000, 1);
}

static const struct op ops[] = {
    /* clang-format off */
    {"hot",        hot,        1000000, 30, 0},
    {"cold",       cold,        400000, 12, LIVE_BLOCKS},
    {"large",      large,       100000, 20, 0},
    {"large_used", large_used,    1000, 10, 0},
    {"depth10",    depth10,      50000, 20, 0},
    {"depth30",    depth30,      50000, 20, 0},
    {"stacks",     stacks,       50000, 20, 0},
    {0},
    /* clang-format on */
};

static void *work(void *arg) {
    struct worker *w = arg;
    int n = bench.op->n / bench.divisor;
    w->live = calloc((size_t)live_each(), sizeof *w->live);
    for (int i = 0; i < live_each(); i++)
        w->live[i] = malloc(some_size(random_next(&w->random)));
    w->best_ns = 1e18;
    for (int i = 0; i < bench.op->batches; i++) {
        pthread_barrier_wait(&bench.start);
        double begin = cpu_ns();
        bench.op->batch(w, n);
        bench.ns[w - bench.workers] = (cpu_ns() - begin) / n;
        pthread_barrier_wait(&bench.start);
        double mean = 0;
        for (int t = 0; t < bench.threads; t++)
            mean += bench.ns[t] / bench.threads;
        w->best_ns = mean < w->best_ns ? mean : w->best_ns;
    }
    return NULL;
}

static int live(long n) {
    for (long i = 0; i < n; i++) {
        char *p = malloc(64);
        *(volatile char *)p = 1;
    }
    long all, rss = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f || fscanf(f, "%ld %ld", &all, &rss) != 2)
        return 1;
    printf("%ld\n", rss * (sysconf(_SC_PAGESIZE) / 1024));
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "live") == 0)
        return live(atol(argv[2]));
    for (bench.op = ops; argc > 1 && bench.op->name; bench.op++)
        if (strcmp(bench.op->name, argv[1]) == 0)
            break;
    bench.threads = argc > 2 ? atoi(argv[2]) : 1;
    bench.divisor = argc > 3 ? atoi(argv[3]) : 1;
    if (argc < 2 || !bench.op->name || bench.threads < 1 || bench.threads > MOST_THREADS ||
        bench.divisor < 1) {
        fprintf(stderr, "usage: heap NAME [THREADS [DIVISOR]] | heap live N\n");
        return 2;
    }
    pthread_barrier_init(&bench.start, NULL, (unsigned)bench.threads);
    for (int i = 0; i < bench.threads; i++) {
        bench.workers[i].random = 88172645463325252u + (uint64_t)i * 977;
        if (i > 0)
            pthread_create(&bench.workers[i].thread, NULL, work, &bench.workers[i]);
    }
    work(&bench.workers[0]); /* one thread means a single-threaded program */
    for (int i = 1; i < bench.threads; i++)
        pthread_join(bench.workers[i].thread, NULL);
    printf("%.3f\n", bench.workers[0].best_ns);
    return 0;
}
