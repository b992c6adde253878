/*
 * What locks cost: `locks NAME [THREADS]` prints three numbers per operation, over all threads:
 * nanoseconds of wall time, nanoseconds of CPU time, and how many of a thousand operations put
 * their thread to sleep. The best of its batches, or, where threads meet, their median: threads
 * that happen to take turns well for a while make the best batch of a contended lock, and that is
 * luck. Threads are made once, and making them is not counted. Nothing here knows the agent.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 21, MAX_THREADS = 64 };

enum measure { WALL, CPU, SLEEPS, MEASURES };

static double clock_of(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* What a batch took: from its begin, or from when its threads were all there, to its end. */
static double begin[MEASURES], end[MEASURES];

static void measure(double *ret) {
    struct rusage ru;
    getrusage(RUSAGE_SELF, &ru);
    ret[WALL] = clock_of(CLOCK_MONOTONIC);
    ret[CPU] = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    ret[SLEEPS] = 1000.0 * (double)ru.ru_nvcsw;
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
    measure(begin);
    player((void *)0L);
    measure(end);
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
    for (;;) {
        pthread_barrier_wait(&gate);
        for (int i = 0; i < each; i++) {
            pthread_mutex_lock(&mutex);
            shared++;
            work(100);
            pthread_mutex_unlock(&mutex);
            work(400);
        }
        pthread_barrier_wait(&gate);
    }
    return unused;
}

static void contenders(void) {
    pthread_t t;
    pthread_barrier_init(&gate, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++)
        pthread_create(&t, NULL, contender, NULL);
}

static void contended(int n) {
    each = n / threads;
    pthread_barrier_wait(&gate);
    measure(begin);
    pthread_barrier_wait(&gate);
    measure(end);
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
    {"ping_pong", nothing, ping_pong, 1000, true},
    {"contended", contenders, contended, 100000, true},
};

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void batch(void (*fn)(int n), int n, double *ret) {
    measure(begin);
    end[WALL] = 0;
    fn(n);
    if (end[WALL] == 0)
        measure(end);
    for (int m = 0; m < MEASURES; m++)
        ret[m] = (end[m] - begin[m]) / n;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    double took[BATCHES][MEASURES], column[BATCHES];
    if (argc > 2 && atoi(argv[2]) > 0 && atoi(argv[2]) <= MAX_THREADS)
        threads = atoi(argv[2]);
    for (unsigned i = 0; i < sizeof benches / sizeof *benches; i++) {
        if (strcmp(name, benches[i].name) != 0)
            continue;
        benches[i].begin();
        for (int k = 0; k < BATCHES; k++)
            batch(benches[i].batch, benches[i].n, took[k]);
        for (int m = 0; m < MEASURES; m++) {
            for (int k = 0; k < BATCHES; k++)
                column[k] = took[k][m];
            qsort(column, BATCHES, sizeof *column, ascending);
            printf("%.2f\n", column[benches[i].meet ? BATCHES / 2 : 0]);
        }
        return 0;
    }
    fprintf(stderr, "locks: unknown bench '%s'\n", name);
    return 2;
}
