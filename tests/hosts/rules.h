#pragma once
/*
 * Hosts that print what every call answered, case by case. The transcript must be the same with and
 * without the agent, and whether the process has one thread or several when the case begins: the
 * doors take another way in each.
 */
#include "hog.h"

#include <stdarg.h>

struct rule {
    const char *name;
    void (*run)(void);
};

/* One line of the transcript. */
static inline void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void say(const char *format, ...) {
    char line[512];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(line, sizeof line - 1, format, ap);
    va_end(ap);
    line[n] = '\n';
    if (write(1, line, (size_t)n + 1) < 0)
        host_failed = true;
}

/* strerrorname_np() is not everywhere. */
static inline const char *named(int err) {
    static const struct {
        int err;
        const char *name;
    } names[] = {{0, "ok"},
                 {EBUSY, "EBUSY"},
                 {EDEADLK, "EDEADLK"},
                 {EPERM, "EPERM"},
                 {EINVAL, "EINVAL"},
                 {ETIMEDOUT, "ETIMEDOUT"},
                 {EAGAIN, "EAGAIN"},
                 {EINTR, "EINTR"},
                 {EOWNERDEAD, "EOWNERDEAD"},
                 {ENOTRECOVERABLE, "ENOTRECOVERABLE"},
                 {EOVERFLOW, "EOVERFLOW"},
                 {ENOSYS, "ENOSYS"},
                 {ESRCH, "ESRCH"},
                 {EFAULT, "EFAULT"},
                 {EBADF, "EBADF"},
                 {ENOTSUP, "ENOTSUP"},
                 {ECANCELED, "cancelled"},
                 {77, "untouched"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].err == err)
            return names[i].name;
    return "another error";
}

/* The answer of a call, and that it left errno alone. */
#define SAY(call)                                                              \
    do {                                                                       \
        errno = 77;                                                            \
        int say_answer = (call);                                               \
        int say_errno = errno;                                                 \
        say("  %s: %s, errno %s", #call, named(say_answer), named(say_errno)); \
    } while (0)

/* The same for a call that answers -1 and errno. */
#define SAY_ERRNO(call)                                                  \
    do {                                                                 \
        errno = 77;                                                      \
        long say_answer = (long)(call);                                  \
        int say_errno = errno;                                           \
        say("  %s: %ld, errno %s", #call, say_answer, named(say_errno)); \
    } while (0)

/* A thread that makes one call; what it answered is said when it is asked for, in the main thread.
 */
struct helper {
    int (*call)(void);
    int answer, entering;
    pid_t tid;
    pthread_t thread;
};

static inline void *helper_main(void *helper) {
    struct helper *h = (struct helper *)helper;
    h->tid = my_tid();
    add_int(&h->entering, 1);
    errno = 77;
    h->answer = h->call();
    return NULL;
}

static inline struct helper *helper_start(int (*call)(void)) {
    struct helper *h = (struct helper *)calloc(1, sizeof *h);
    h->call = call;
    CHECK(pthread_create(&h->thread, NULL, helper_main, h) == 0);
    return h;
}

/* One that blocks: returns when it sleeps. */
static inline struct helper *helper_blocked(int (*call)(void)) {
    struct helper *h = helper_start(call);
    until_asleep(&h->entering, &h->tid, 1);
    return h;
}

static inline int helper_answer(struct helper *h) {
    void *end = NULL;
    CHECK(pthread_join(h->thread, &end) == 0);
    int answer = end == PTHREAD_CANCELED ? ECANCELED : h->answer;
    free(h);
    return answer;
}

/* The answer of a call made by another thread. */
static inline int elsewhere(int (*call)(void)) { return helper_answer(helper_start(call)); }

static inline struct timespec in_ms(clockid_t clock, long ms) {
    struct timespec t;
    clock_gettime(clock, &t);
    t.tv_nsec += ms % 1000 * 1000000;
    t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static const struct timespec never_a_time = {1, 2000000000}, long_ago = {1, 0};

/* Runs f in a child process and says how it ended. */
static inline void in_child(const char *what, void (*f)(void)) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        f();
        _exit(host_failed ? 1 : 0);
    }
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid);
    say("  %s: child ended with %#x", what, (unsigned)status);
}

static inline void *idle_thread(void *unused) {
    for (;;)
        pause();
    return unused;
}

/* main(): HOST single|multi. list ends with {0}. */
static inline int rules_main(int argc, char **argv, const struct rule *list) {
    pthread_t t;
    if (argc > 1 && strcmp(argv[1], "multi") == 0)
        CHECK(pthread_create(&t, NULL, idle_thread, NULL) == 0);
    for (; list->name; list++) {
        if (argc > 2 && strcmp(argv[2], list->name) != 0)
            continue;
        say("%s", list->name);
        list->run();
    }
    return host_failed ? 1 : 0;
}
