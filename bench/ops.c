/*
 * What one operation of a program costs: `ops NAME` prints nanoseconds per operation (the best of
 * its batches), or kilobytes for the memory ones. Nothing here knows the agent: run it with and
 * without.
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { IDLE_THREADS = 1000 };

struct op {
    const char *name;
    void (*begin)(void);
    void (*batch)(int n);
    int n, batches;
};

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void lock(int n) {
    for (int i = 0; i < n; i++) {
        pthread_mutex_lock(&mutex);
        pthread_mutex_unlock(&mutex);
    }
}

static void *sleep_for_ever(void *arg) {
    for (;;)
        pause();
    return arg;
}

static void one_more_thread(void) {
    pthread_t t;
    pthread_create(&t, NULL, sleep_for_ever, NULL);
}

static void *return_at_once(void *arg) { return arg; }

static void thread(int n) {
    for (int i = 0; i < n; i++) {
        pthread_t t;
        pthread_create(&t, NULL, return_at_once, NULL);
        pthread_join(t, NULL);
    }
}

static void fork_exit(int n) {
    for (int i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        waitpid(pid, NULL, 0);
    }
}

static void ignore(int sig) { (void)sig; }

static void do_sigaction(int n) {
    const struct sigaction a = {.sa_handler = ignore};
    for (int i = 0; i < n; i++)
        sigaction(SIGUSR1, &a, NULL);
}

static void do_sigprocmask(int n) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    for (int i = 0; i < n; i++)
        sigprocmask(i & 1 ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL);
}

static const struct op ops[] = {
    /* clang-format off */
    {"lock",         NULL,            lock,           1000000, 40},
    {"lock_mt",      one_more_thread, lock,           1000000, 40},
    {"thread",       NULL,            thread,             500, 20},
    {"fork",         NULL,            fork_exit,          100, 20},
    {"sigaction",    NULL,            do_sigaction,    200000, 10},
    {"sigprocmask",  NULL,            do_sigprocmask,  200000, 10},
    /* clang-format on */
};

static double cost(const struct op *o) {
    double best = 1e18;
    if (o->begin)
        o->begin();
    for (int i = 0; i < o->batches; i++) {
        double begin = now_ns();
        o->batch(o->n);
        double ns = (now_ns() - begin) / o->n;
        best = ns < best ? ns : best;
    }
    return best;
}

static int print_rss(void) {
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%*d %ld", &pages) != 1)
        return 1;
    printf("%ld\n", pages * (sysconf(_SC_PAGESIZE) / 1024));
    return 0;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    for (unsigned i = 0; i < sizeof ops / sizeof *ops; i++)
        if (strcmp(name, ops[i].name) == 0)
            return printf("%.2f\n", cost(&ops[i])) < 0;
    if (strcmp(name, "rss") == 0)
        return print_rss();
    if (strcmp(name, "rss_threads") == 0) {
        for (int i = 0; i < IDLE_THREADS; i++)
            one_more_thread();
        usleep(300000);
        return print_rss();
    }
    fprintf(stderr, "ops: unknown operation '%s'\n", name);
    return 2;
}
