#pragma once
/*
 * What the hosts share. A host is a small program with its own view of what is right: it prints
 * only what must be the same in every run, leaves measured numbers in the file "numbers", and ends
 * with 0 when it saw nothing strange. Each has several scenarios; the first argument says which.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A frame and a name of its own; meson.build keeps gcc from folding identical bodies into one. */
#if defined(__clang__)
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone)) /* a clone has another name */
#endif

static bool host_failed;

/* Bounds what waits for an event. */
#define PATIENCE_NS 120000000000LL

#define CHECK(good)                                                                         \
    do {                                                                                    \
        if (!(good)) {                                                                      \
            dprintf(2, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #good, errno); \
            host_failed = true;                                                             \
        }                                                                                   \
    } while (0)

/* A number within bounds; all three are printed when it is not. */
#define CHECK_WITHIN(n, low, high)                                                                 \
    do {                                                                                           \
        double n_ = (double)(n), low_ = (double)(low), high_ = (double)(high);                     \
        if (!(n_ >= low_ && n_ <= high_)) {                                                        \
            dprintf(2, "%s:%d: %s is %g, not within %g and %g (%s, %s)\n", __FILE__, __LINE__, #n, \
                    n_, low_, high_, #low, #high);                                                 \
            host_failed = true;                                                                    \
        }                                                                                          \
    } while (0)

struct scenario {
    const char *name;
    void (*run)(int argc, char **argv);
};

/* main() of a host: finds argv[1] in a table that ends with {0}. */
static inline int host_main(int argc, char **argv, const struct scenario *s) {
    for (; argc > 1 && s->name; s++)
        if (strcmp(s->name, argv[1]) == 0) {
            s->run(argc - 2, argv + 2);
            return host_failed ? 1 : 0;
        }
    dprintf(2, "%s: no such scenario\n", argc > 1 ? argv[1] : argv[0]);
    return 2;
}

static inline int64_t clock_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static inline int64_t thread_ns(void) { return clock_of(CLOCK_THREAD_CPUTIME_ID); }
static inline int64_t now_ns(void) { return clock_of(CLOCK_MONOTONIC); }

/*
 * The kernel's other CPU clocks, in the encoding of clock_getcpuclockid(3): they count the
 * scheduler ticks that found the thread or process running. A thread that shares its core may burn
 * 400 ms and meet one tick only, or meet more than it burned; and CPU timers, the host's and the
 * profiler's, fire on ticks. What depends on ticks is therefore measured with these.
 */
enum {
    CLOCK_THREAD_TICKS = (int)(~0u << 3 | 4),
    CLOCK_PROCESS_TICKS = (int)(~0u << 3),
    CLOCK_PROCESS_USER_TICKS = (int)(~0u << 3 | 1),
};

/* CPU time of the whole process as the kernel will bill it. */
static inline double usage_ns(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e9 +
           (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e3;
}

static inline void number(const char *name, double v) {
    int fd = open("numbers", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    dprintf(fd, "%s %.17g\n", name, v);
    close(fd);
}

/* A number of one process among several. */
static inline void number_of_process(const char *name, double v) {
    char full[64];
    snprintf(full, sizeof full, "%s-%d", name, (int)getpid());
    number(full, v);
}

static inline void spin(long n) {
    for (volatile long i = 0; i < n; i++)
        ;
}

static inline bool agent_here(void) { return getenv("E2E_AGENT") != NULL; }

/* Files in the folder whose name holds text. */
static inline int files_with(const char *folder, const char *text) {
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        n += strstr(e->d_name, text) != NULL;
    if (d)
        closedir(d);
    return n;
}

/* "...KIND" NUMBER ".pb.gz"; the program may be called like a kind. */
static inline bool is_profile_of(const char *name, const char *kind) {
    const char *end = strstr(name, ".pb.gz");
    size_t n = strlen(kind);
    if (!end || end[6])
        return false;
    while (end > name && end[-1] >= '0' && end[-1] <= '9')
        end--;
    return (size_t)(end - name) >= n && memcmp(end - n, kind, n) == 0;
}

/* Complete profiles of that kind in the folder. */
static inline int profiles_of(const char *folder, const char *kind) {
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        n += is_profile_of(e->d_name, kind);
    if (d)
        closedir(d);
    return n;
}

/* Dumps in the folder: each writes one CPU profile, and others behind it, unless that is off. */
static inline int dumps_in(const char *folder) {
    int n = profiles_of(folder, "-cpu-");
    return n ? n : profiles_of(folder, "");
}

static inline void sleep_ms(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

/* Asks for a dump when the agent is there, and waits until folder holds n of them. */
static inline void dump_until(const char *folder, int n) {
    if (!agent_here())
        return;
    kill(getpid(), SIGUSR2);
    for (int64_t end = now_ns() + PATIENCE_NS; now_ns() < end && dumps_in(folder) < n;)
        sleep_ms(2);
    CHECK_WITHIN(dumps_in(folder), n, 1e6);
}

/* Waits until the process has burned that much CPU time, in whatever threads. */
static inline void wait_for_usage(int64_t ms) {
    for (int64_t end = now_ns() + PATIENCE_NS; now_ns() < end && usage_ns() < (double)ms * 1e6;)
        sleep_ms(1);
}

/* Whether no tick has met this thread since its tick clock showed `ticks`. (A kernel that does
 * without ticks moves that clock in smaller steps.) */
static inline bool is_unmet(int64_t ticks) { return clock_of(CLOCK_THREAD_TICKS) - ticks < 900000; }

/* Calls until a tick has come, on a busy machine perhaps after 100 ms of CPU time. */
#define UNTIL_A_TICK(call)                                                                \
    for (int64_t ticks_ = clock_of(CLOCK_THREAD_TICKS), end_ = thread_ns() + PATIENCE_NS; \
         is_unmet(ticks_) && thread_ns() < end_;)                                         \
    call

/*
 * Burns CPU time of the calling thread in a function of its own name. 20 ms and more end right
 * after a tick, at which a sample was due at 100 Hz and above: so every such call is seen, however
 * busy the machine, and less than a period of its time is left to be charged to who comes next.
 */
enum { SEEN_MS = 20 };
#define BURNER(name)                              \
    static NOINLINE void name(int64_t ms) {       \
        int64_t end = thread_ns() + ms * 1000000; \
        while (thread_ns() < end)                 \
            spin(20000);                          \
        if (ms >= SEEN_MS)                        \
            UNTIL_A_TICK(spin(20000));            \
    }
