/*
 * A small server-like program whose profile is known beforehand. Worker threads serve requests;
 * half of the CPU time of each goes to parse(), 30 % to compress(), 20 % to checksum().
 *
 * The shares are steered by the CPU clock of the thread: the task that is furthest behind its share
 * works next, so the figures printed at the end are measured, and a profile can be held against
 * them.
 *
 * It also leaks, 64 KiB a request in remember(), and says how much: a heap profile shows that on
 * top. And its workers fight over one lock, because archive() keeps it for 5 ms at a time where
 * publish() is done at once: a mutex profile shows archive() on top, a block profile who waited.
 *
 *     demo [SECONDS [THREADS]]
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOINLINE __attribute__((noinline))

enum { REQUEST_BYTES = 8192, LEAK_BYTES = 64 << 10, THREADS_MAX = 256, TASKS = 3 };

struct request {
    char text[REQUEST_BYTES];
    uint8_t packed[2 * REQUEST_BYTES];
    uint64_t result; /* what the work is for; printed, so that it cannot be optimised away */
};

/* Splits the text into words and adds up the numbers in it. */
NOINLINE static void parse(struct request *r) {
    uint64_t sum = 0, number = 0;
    for (size_t i = 0; i < sizeof r->text; i++) {
        char c = r->text[i];
        if (c >= '0' && c <= '9') {
            number = number * 10 + (uint64_t)(c - '0');
        } else {
            sum += number;
            number = 0;
        }
    }
    r->result += sum;
}

/* Pairs of a byte and how often it is repeated. */
NOINLINE static void compress(struct request *r) {
    size_t out = 0;
    for (size_t i = 0; i < sizeof r->text;) {
        size_t run = 1;
        while (i + run < sizeof r->text && run < 255 && r->text[i + run] == r->text[i])
            run++;
        r->packed[out++] = (uint8_t)r->text[i];
        r->packed[out++] = (uint8_t)run;
        i += run;
    }
    r->result += out;
}

/* CRC-32, bit by bit. */
NOINLINE static void checksum(struct request *r) {
    uint32_t crc = ~0u;
    for (size_t i = 0; i < sizeof r->text; i++) {
        crc ^= (uint8_t)r->text[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1)));
    }
    r->result += crc;
}

static const struct task {
    const char *name;
    unsigned share; /* per cent; they add up to 100 */
    void (*work)(struct request *);
} tasks[TASKS] = {{"parse", 50, parse}, {"compress", 30, compress}, {"checksum", 20, checksum}};

static pthread_mutex_t board = PTHREAD_MUTEX_INITIALIZER;

struct worker {
    pthread_t thread;
    bool archives;            /* one of them does */
    uint64_t stop_ns;         /* on the monotonic clock */
    uint64_t spent_ns[TASKS]; /* of this thread's CPU clock */
    uint64_t requests;
    uint64_t leaked_bytes;
    uint64_t waited_ns; /* for the lock */
    uint64_t result;
};

static uint64_t clock_ns(clockid_t clock) {
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void read_request(struct request *r, uint64_t number) {
    static const char line[] = "GET /item?id=%llu&limit=250 HTTP/1.1\r\nHost: demo      \r\n";
    char one[128];
    int n = snprintf(one, sizeof one, line, (unsigned long long)number);
    for (size_t i = 0; i < sizeof r->text; i++)
        r->text[i] = one[i % (size_t)n];
}

/* The task that is furthest behind what its share of the time spent so far would be. */
static int most_behind(const uint64_t *spent_ns) {
    int64_t total = 0, worst = INT64_MIN;
    int task = 0;
    for (int i = 0; i < TASKS; i++)
        total += (int64_t)spent_ns[i];
    for (int i = 0; i < TASKS; i++) {
        int64_t behind = total * tasks[i].share / 100 - (int64_t)spent_ns[i];
        if (behind > worst) {
            worst = behind;
            task = i;
        }
    }
    return task;
}

/* A request is served in slices of about a millisecond: reading the clock must not show in the
 * profile. */
NOINLINE static void serve(struct worker *w, struct request *r) {
    enum { SLICES = 20, REPEATS = 150 };
    for (int slice = 0; slice < SLICES; slice++) {
        int task = most_behind(w->spent_ns);
        uint64_t start_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        for (int i = 0; i < REPEATS; i++)
            tasks[task].work(r);
        w->spent_ns[task] += clock_ns(CLOCK_THREAD_CPUTIME_ID) - start_ns;
    }
}

/* The bug to be found: what is noted about a request is never read and never freed. */
struct note {
    struct note *older;
    char text[LEAK_BYTES - sizeof(struct note *)];
};

NOINLINE static struct note *remember(struct worker *w, struct note *older,
                                      const struct request *r) {
    struct note *n = malloc(sizeof *n);
    if (!n)
        return older;
    n->older = older;
    memcpy(n->text, r->text, sizeof r->text);
    w->leaked_bytes += sizeof *n;
    return n;
}

static void lock_board(struct worker *w) {
    uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
    pthread_mutex_lock(&board);
    w->waited_ns += clock_ns(CLOCK_MONOTONIC) - start_ns;
}

NOINLINE static void publish(struct worker *w, struct request *r) {
    lock_board(w);
    r->result++;
    pthread_mutex_unlock(&board);
}

/* The other bug: what needs no lock, here a slow disk, is done under it. */
NOINLINE static void archive(struct worker *w, struct request *r) {
    const struct timespec slow_disk = {0, 5000000};
    lock_board(w);
    r->result++;
    nanosleep(&slow_disk, NULL);
    pthread_mutex_unlock(&board);
}

static void *worker(void *arg) {
    struct worker *w = arg;
    struct request *r = calloc(1, sizeof *r);
    struct note *volatile notes = NULL;
    if (!r)
        return NULL;
    while (clock_ns(CLOCK_MONOTONIC) < w->stop_ns) {
        read_request(r, w->requests++);
        serve(w, r);
        notes = remember(w, notes, r);
        if (w->archives)
            archive(w, r);
        else
            publish(w, r);
    }
    w->result = r->result;
    free(r);
    return NULL;
}

static void report(const struct worker *workers, int n) {
    uint64_t spent_ns[TASKS] = {0}, total_ns = 0, requests = 0, leaked = 0, waited_ns = 0,
             result = 0;
    for (int i = 0; i < n; i++) {
        requests += workers[i].requests;
        leaked += workers[i].leaked_bytes;
        waited_ns += workers[i].waited_ns;
        result += workers[i].result;
        for (int t = 0; t < TASKS; t++) {
            spent_ns[t] += workers[i].spent_ns[t];
            total_ns += workers[i].spent_ns[t];
        }
    }
    printf("demo: %llu requests on %d threads, result %016llx\n", (unsigned long long)requests, n,
           (unsigned long long)result);
    for (int t = 0; t < TASKS; t++)
        printf("demo: %-8s %6.2f s  %5.2f %%\n", tasks[t].name, (double)spent_ns[t] * 1e-9,
               total_ns ? 100.0 * (double)spent_ns[t] / (double)total_ns : 0);
    printf("demo: leaked   %6.2f MiB\n", (double)leaked / (1 << 20));
    printf("demo: waited   %6.2f s\n", (double)waited_ns * 1e-9);
}

static int start(struct worker *workers, int n, double seconds) {
    uint64_t stop_ns = clock_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * 1e9);
    for (int i = 0; i < n; i++) {
        workers[i].stop_ns = stop_ns;
        workers[i].archives = i == 0;
        int r = pthread_create(&workers[i].thread, NULL, worker, &workers[i]);
        if (r != 0) {
            fprintf(stderr, "demo: thread %d: %s\n", i, strerror(r));
            return i;
        }
    }
    return n;
}

int main(int argc, char **argv) {
    static struct worker workers[THREADS_MAX];
    double seconds = argc > 1 ? atof(argv[1]) : 5;
    int threads = argc > 2 ? atoi(argv[2]) : 2;
    if (argc > 3 || !(seconds > 0 && seconds < 1e6) || threads < 1 || threads > THREADS_MAX) {
        fprintf(stderr, "usage: demo [SECONDS [THREADS]], at most %d threads\n", THREADS_MAX);
        return 2;
    }
    int running = start(workers, threads, seconds);
    for (int i = 0; i < running; i++)
        pthread_join(workers[i].thread, NULL);
    report(workers, running);
    return running == threads ? 0 : 1;
}
