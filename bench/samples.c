/*
 * What one CPU sample costs, and what a dump of many stacks costs, with the agent as users run it.
 *
 *     samples warm DEPTH    microseconds per sample of one stack with DEPTH frames above main
 *     samples cold DEPTH    the same when each sample has a stack that was not seen before
 *     samples dump COUNT    milliseconds for a dump of COUNT distinct stacks with 30 frames
 *
 * Waiting for the kernel's timers would take hours for a precise figure. Instead the program queues
 * to itself the signal that the agent's timer would send, value included (/proc/self/timers shows
 * both), so the agent does all that it does for a sample: clock, walk, intern, count, re-arm. The
 * cost of the system call that queues it, measured on an ignored signal, is taken off; delivery,
 * handler and return stay. What is missing against life is the cold cache, see docs/performance.md.
 *
 * Without the agent it measures an empty handler instead: the part that the kernel takes.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LEVELS = 64, WIDTH = 8, BATCH = 200, BATCHES = 60 };

static struct {
    int signal;
    void *value;
    siginfo_t info;
} sample;

struct path {
    unsigned index; /* which of the stacks */
    void (*leaf)(unsigned index);
};

/* Stands in the middle of nothing: each function calls a function of the next level, chosen by the
 * index. */
typedef int level_fn(const struct path *p, int left);
static level_fn *const level[LEVELS][WIDTH];

static inline int descend(const struct path *p, int left, int depth) {
    if (left <= 1) {
        p->leaf(p->index);
        return left;
    }
    unsigned at = (unsigned)depth % 16 < 10 ? p->index >> (3 * ((unsigned)depth % 16))
                                            : p->index * 2654435761u >> depth;
    return level[(depth + 1) % LEVELS][at % WIDTH](p, left - 1) + 1;
}

#define FUNCTION(l, w)                                                                           \
    static                                                                                       \
        __attribute__((noinline)) int level_##l##_##w(const struct path *p, int left) { \
        return descend(p, left, l) + w;                                                          \
    }
#define ROW(l)                                                                                \
    FUNCTION(l, 0)                                                                            \
    FUNCTION(l, 1) FUNCTION(l, 2) FUNCTION(l, 3) FUNCTION(l, 4) FUNCTION(l, 5) FUNCTION(l, 6) \
        FUNCTION(l, 7)
#define NAMES(l)                                                                                  \
    {                                                                                             \
        level_##l##_0, level_##l##_1, level_##l##_2, level_##l##_3, level_##l##_4, level_##l##_5, \
            level_##l##_6, level_##l##_7                                                          \
    }
#define ROWS(X)                                                                                   \
    X(0)                                                                                          \
    X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17)  \
        X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31) X(32) \
            X(33) X(34) X(35) X(36) X(37) X(38) X(39) X(40) X(41) X(42) X(43) X(44) X(45) X(46)   \
                X(47) X(48) X(49) X(50) X(51) X(52) X(53) X(54) X(55) X(56) X(57) X(58) X(59)     \
                    X(60) X(61) X(62) X(63)
ROWS(ROW)
#define ENTRY(l) [l] = NAMES(l),
static level_fn *const level[LEVELS][WIDTH] = {ROWS(ENTRY)};

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void on_signal(int sig) { (void)sig; }

/* The agent's timer as the kernel shows it; an empty handler of our own when there is none. */
static void find_timer(void) {
    char line[256];
    FILE *f = fopen("/proc/self/timers", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "signal: %d/%p", &sample.signal, &sample.value) == 2)
            break;
    if (f)
        fclose(f);
    if (!sample.signal) {
        const struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
        sample.signal = SIGRTMIN + 1;
        sigaction(sample.signal, &a, NULL);
    }
    sample.info.si_signo = sample.signal;
    sample.info.si_code = SI_TIMER;
    sample.info.si_value.sival_ptr = sample.value;
}

static void queue(siginfo_t *info) {
    syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), info->si_signo, info);
}

static double best_of(void (*once)(unsigned), unsigned *i) {
    double best = 1e18;
    for (int b = 0; b < BATCHES; b++) {
        double begin = now_ns();
        for (int k = 0; k < BATCH; k++)
            once((*i)++);
        double ns = (now_ns() - begin) / BATCH;
        best = ns < best ? ns : best;
    }
    return best;
}

static void queue_ignored(unsigned i) {
    siginfo_t info = sample.info;
    (void)i;
    info.si_signo = SIGURG; /* ignored by default */
    queue(&info);
}

static void queue_sample(unsigned i) {
    (void)i;
    queue(&sample.info);
}

static double best;

static void warm_leaf(unsigned i) { best = best_of(queue_sample, &i); }

static int stack_depth = 30;

static void at_new_stack(unsigned i) {
    const struct path p = {i, queue_sample};
    level[0][i % WIDTH](&p, stack_depth);
}

static void walk_only(unsigned i) { (void)i; }

static void at_new_stack_idle(unsigned i) {
    const struct path p = {i, walk_only};
    level[0][i % WIDTH](&p, stack_depth);
}

static double sample_us(const char *how, int depth) {
    unsigned i = 0;
    double idle = best_of(queue_ignored, &i);
    stack_depth = depth;
    if (strcmp(how, "warm") == 0) {
        const struct path p = {1, warm_leaf};
        level[0][0](&p, depth);
    } else {
        i = 0;
        double descent = best_of(at_new_stack_idle, &i);
        i = 0;
        best = best_of(at_new_stack, &i) - descent;
    }
    return (best - idle) / 1e3;
}

/* Bounded waits between batches: the pending queue of a thread is not endless, and neither is the
 * tables' bound. */
static int dump_ms(unsigned count) {
    int (*dump)(void);
    void *f = dlsym(RTLD_DEFAULT, "cprof_dump");
    if (!f)
        return puts("0") < 0;
    memcpy(&dump, &f, sizeof dump);
    for (unsigned i = 0; i < count; i++)
        at_new_stack(i);
    double begin = now_ns();
    if (dump() < 1)
        return 1;
    return printf("%.3f\n", (now_ns() - begin) / 1e6) < 0;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    find_timer();
    if (strcmp(argv[1], "dump") == 0)
        return dump_ms((unsigned)atoi(argv[2]));
    return printf("%.3f\n", sample_us(argv[1], atoi(argv[2]))) < 0;
}
