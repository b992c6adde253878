/*
 * What locks cost: `locks NAME [THREADS]` prints nanoseconds of wall time per operation, over all
 * threads: the best of its batches, or, where threads meet, their median. Threads that happen to
 * take turns well for a while make the best batch of a contended lock, and that is luck. Nothing
 * here knows the agent.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 21, MAX_THREADS = 64 };

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* What a batch took: from its begin, or from when its threads were all there, to its end. */
static double begin, end;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

static void pair(int n) {
    for (int i = 0; i < n; i++) {
        pthread_mutex_lock(&mutex);
        pthread_mutex_unlock(&mutex);
    }
}

static void read_pair(int n) {
    for (int i = 0; i < n; i++) {
        pthread_rwlock_rdlock(&rwlock);
        pthread_rwlock_unlock(&rwlock);
    }
}

/* Two threads hand a turn to and fro. */
static int turn, turns;

static pthread_barrier_t gate;

static void *player(void *me) {
    int mine = (int)(long)me;
    pthread_barrier_wait(&gate);
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < turns; i++) {
        while (turn != mine)
            pthread_cond_wait(&cond, &mutex);
        turn = !mine;
        pthread_cond_signal(&cond);
    }
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static void ping_pong(int n) {
    pthread_t other;
    turn = 0;
    turns = n;
    pthread_barrier_init(&gate, NULL, 2);
    pthread_create(&other, NULL, player, (void *)1L);
    begin = now_ns();
    player((void *)0L);
    end = now_ns();
    pthread_join(other, NULL);
}

/* A little work under the lock, four times as much outside. */
static int threads = 2, each;
static volatile unsigned long shared;

static void work(int n) {
    for (volatile int i = 0; i < n; i++)
        ;
}

static void *contender(void *unused) {
    pthread_barrier_wait(&gate);
    for (int i = 0; i < each; i++) {
        pthread_mutex_lock(&mutex);
        shared++;
        work(100);
        pthread_mutex_unlock(&mutex);
        work(400);
    }
    pthread_barrier_wait(&gate);
    return unused;
}

static void contended(int n) {
    pthread_t t[MAX_THREADS];
    each = n / threads;
    pthread_barrier_init(&gate, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++)
        pthread_create(&t[i], NULL, contender, NULL);
    pthread_barrier_wait(&gate);
    begin = now_ns();
    pthread_barrier_wait(&gate);
    end = now_ns();
    for (int i = 0; i < threads; i++)
        pthread_join(t[i], NULL);
}

static void *sleep_for_ever(void *unused) {
    for (;;)
        pause();
    return unused;
}

static void nothing(void) {}
static void second_thread(void) {
    pthread_t t;
    pthread_create(&t, NULL, sleep_for_ever, NULL);
}

static const struct {
    const char *name;
    void (*begin)(void);
    void (*batch)(int n);
    int n;
    bool meet;
} benches[] = {
    {"pair", nothing, pair, 1000000, false},
    {"pair_mt", second_thread, pair, 1000000, false},
    {"read", second_thread, read_pair, 1000000, false},
    {"ping_pong", nothing, ping_pong, 10000, true},
    {"contended", nothing, contended, 100000, true},
};

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double batch(void (*fn)(int n), int n) {
    begin = now_ns();
    end = 0;
    fn(n);
    return ((end > 0 ? end : now_ns()) - begin) / n;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    double ns[BATCHES];
    if (argc > 2 && atoi(argv[2]) > 0 && atoi(argv[2]) <= MAX_THREADS)
        threads = atoi(argv[2]);
    for (unsigned i = 0; i < sizeof benches / sizeof *benches; i++) {
        if (strcmp(name, benches[i].name) != 0)
            continue;
        benches[i].begin();
        for (int k = 0; k < BATCHES; k++)
            ns[k] = batch(benches[i].batch, benches[i].n);
        qsort(ns, BATCHES, sizeof *ns, ascending);
        return printf("%.2f\n", ns[benches[i].meet ? BATCHES / 2 : 0]) < 0;
    }
    fprintf(stderr, "locks: unknown bench '%s'\n", name);
    return 2;
}
