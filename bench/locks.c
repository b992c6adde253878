/*
 * What locks cost: `locks NAME [THREADS]` prints nanoseconds per operation, the best of its
 * batches; for contended ones of wall time, over all threads. Nothing here knows the agent.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 20, CONTENDED_BATCHES = 5, MAX_THREADS = 64 };

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

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

static void *player(void *me) {
    int mine = (int)(long)me;
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
    pthread_create(&other, NULL, player, (void *)1L);
    player((void *)0L);
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
    for (int i = 0; i < each; i++) {
        pthread_mutex_lock(&mutex);
        shared++;
        work(100);
        pthread_mutex_unlock(&mutex);
        work(400);
    }
    return unused;
}

static void contended(int n) {
    pthread_t t[MAX_THREADS];
    each = n / threads;
    for (int i = 0; i < threads; i++)
        pthread_create(&t[i], NULL, contender, NULL);
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
    int n, batches;
} benches[] = {
    {"pair", nothing, pair, 1000000, BATCHES},
    {"pair_mt", second_thread, pair, 1000000, BATCHES},
    {"read", second_thread, read_pair, 1000000, BATCHES},
    {"ping_pong", nothing, ping_pong, 10000, CONTENDED_BATCHES},
    {"contended", nothing, contended, 400000, CONTENDED_BATCHES},
};

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    if (argc > 2 && atoi(argv[2]) > 0 && atoi(argv[2]) <= MAX_THREADS)
        threads = atoi(argv[2]);
    for (unsigned i = 0; i < sizeof benches / sizeof *benches; i++) {
        double best = 1e18;
        if (strcmp(name, benches[i].name) != 0)
            continue;
        benches[i].begin();
        for (int k = 0; k < benches[i].batches; k++) {
            double begin = now_ns();
            benches[i].batch(benches[i].n);
            double ns = (now_ns() - begin) / benches[i].n;
            best = ns < best ? ns : best;
        }
        return printf("%.2f\n", best) < 0;
    }
    fprintf(stderr, "locks: unknown bench '%s'\n", name);
    return 2;
}
