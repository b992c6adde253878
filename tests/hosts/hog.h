#pragma once
/*
 * The hog: one thread holds a lock for 5 ms of its own CPU time while eight quick ones wait for it,
 * again and again. Everything happens by events, so that the truth does not depend on the machine's
 * load: a round begins with the hog holding the lock, the victims run into it, and only when the
 * kernel says that all of them sleep does the hog start to burn. Who must be blamed is the stack
 * with hog_release() on it; who waited is the stack with victim_pass().
 */
#include "host.h"

enum { VICTIMS = 8, HOLD_MS = 5 };

/* What differs from lock to lock. release() runs inside hog_release(), pass() inside victim_pass().
 */
struct hog {
    const char *name;
    void (*hold)(void);
    void (*release)(void);
    void (*pass)(int victim);
};

static struct hog_state {
    const struct hog *lock;
    int rounds, round;    /* the victims go when round reaches theirs */
    int entering, passed; /* this round */
    pid_t tid[VICTIMS];
    double held_ns;  /* while all victims slept */
    double after_ns; /* from the release until all had passed */
} hog_state;

static inline void nap(void) {
    struct timespec t = {0, 100000};
    nanosleep(&t, NULL);
}

static inline int load_int(int *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
static inline void add_int(int *p, int n) { __atomic_fetch_add(p, n, __ATOMIC_SEQ_CST); }
static inline void store_int(int *p, int n) { __atomic_store_n(p, n, __ATOMIC_SEQ_CST); }

/* Does the thread sleep in the kernel? */
static inline bool asleep(pid_t tid) {
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n < 0 ? 0 : n] = '\0';
    const char *after = strrchr(text, ')');
    return after && after[1] == ' ' && after[2] == 'S';
}

/* Until all of them sleep inside the call that they announced in *entering. */
static inline void until_asleep(int *entering, const pid_t *tid, int n) {
    while (load_int(entering) < n)
        nap();
    for (int i = 0; i < n; i++)
        while (!asleep(tid[i]))
            nap();
}

static inline pid_t my_tid(void) { return (pid_t)syscall(SYS_gettid); }

BURNER(burn)

static NOINLINE void hog_release(void) {
    hog_state.lock->release();
    __asm__ volatile("" ::: "memory"); /* no tail call: this frame is what the tests look for */
}

static NOINLINE void victim_pass(int victim) {
    hog_state.lock->pass(victim);
    __asm__ volatile("" ::: "memory");
}

static inline void *victim_main(void *number) {
    int me = (int)(intptr_t)number;
    hog_state.tid[me] = my_tid();
    for (int round = 1; round <= hog_state.rounds; round++) {
        while (load_int(&hog_state.round) < round)
            nap();
        add_int(&hog_state.entering, 1);
        victim_pass(me);
        add_int(&hog_state.passed, 1);
    }
    return NULL;
}

static inline void hog_round(void) {
    struct hog_state *h = &hog_state;
    store_int(&h->entering, 0);
    store_int(&h->passed, 0);
    h->lock->hold();
    add_int(&h->round, 1);
    until_asleep(&h->entering, h->tid, VICTIMS);
    int64_t begin = now_ns();
    burn(HOLD_MS);
    int64_t end = now_ns();
    hog_release();
    while (load_int(&h->passed) < VICTIMS)
        nap();
    h->held_ns += end - begin;
    h->after_ns += now_ns() - end;
}

/* The scenario: NAME ROUNDS. */
static inline void hog_run(const struct hog *lock, int rounds) {
    pthread_t t[VICTIMS];
    hog_state.lock = lock;
    hog_state.rounds = rounds;
    for (int i = 0; i < VICTIMS; i++)
        CHECK(pthread_create(&t[i], NULL, victim_main, (void *)(intptr_t)i) == 0);
    for (int i = 0; i < rounds; i++)
        hog_round();
    for (int i = 0; i < VICTIMS; i++)
        pthread_join(t[i], NULL);
    /* What the victims certainly waited for: all of them slept all that time. */
    number("held", hog_state.held_ns * VICTIMS);
    /* The most that all of them can have waited for each other. */
    number("after", hog_state.after_ns * VICTIMS);
    number("waits", (double)rounds * VICTIMS);
}

/* main() of a host of hogs: list ends with {0}. */
static inline int hog_main(int argc, char **argv, const struct hog *list) {
    for (; argc > 2 && list->name; list++)
        if (strcmp(list->name, argv[1]) == 0) {
            hog_run(list, atoi(argv[2]));
            return host_failed ? 1 : 0;
        }
    return 2;
}
