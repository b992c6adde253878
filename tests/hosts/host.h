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

#define CHECK(good)                                                                         \
    do {                                                                                    \
        if (!(good)) {                                                                      \
            dprintf(2, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #good, errno); \
            host_failed = true;                                                             \
        }                                                                                   \
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

static inline void sleep_ms(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

/* Asks for a dump when the agent is there, and waits until folder holds n profiles. */
static inline void dump_until(const char *folder, int n) {
    if (!agent_here())
        return;
    kill(getpid(), SIGUSR2);
    for (int i = 0; i < 5000 && files_with(folder, ".pb.gz") < n; i++)
        sleep_ms(2);
    CHECK(files_with(folder, ".pb.gz") >= n);
}

/* Burns CPU time of the calling thread in a function of its own name. */
#define BURNER(name)                              \
    static NOINLINE void name(int64_t ms) {       \
        int64_t end = thread_ns() + ms * 1000000; \
        while (thread_ns() < end)                 \
            spin(20000);                          \
    }
