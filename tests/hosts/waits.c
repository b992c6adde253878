/*
 * Waits whose truth the host knows: how often, how long by its own clock around the call, of which
 * kind and with which outcome. Numbers are left in the file "numbers".
 */
#include "hog.h"
#include "queue.h"

#include <linux/futex.h>
#include <semaphore.h>
#include <sys/resource.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof *(a))

/* What each kind of wait stands on. Named: the label "lock" must say them. */
static pthread_mutex_t the_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t mutex_of_cond = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t the_rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t the_cond = PTHREAD_COND_INITIALIZER;
static sem_t the_sem;
static pthread_barrier_t the_barrier;
static pthread_once_t the_once = PTHREAD_ONCE_INIT;
static pthread_spinlock_t the_spin;
static uint32_t the_word = 1;
static pthread_t the_thread;

/* The end of a joined thread and of a once routine waits for this. */
static int gate;
static void until_gate(void) {
    while (!load_int(&gate))
        nap();
}
static void *gated_thread(void *unused) { return until_gate(), unused; }

static NOINLINE void wait_mutex(void) {
    CHECK(pthread_mutex_lock(&the_mutex) == 0);
    pthread_mutex_unlock(&the_mutex);
}
static void hold_mutex(void) { pthread_mutex_lock(&the_mutex); }
static void free_mutex(void) { pthread_mutex_unlock(&the_mutex); }

static NOINLINE void wait_read(void) {
    CHECK(pthread_rwlock_rdlock(&the_rwlock) == 0);
    pthread_rwlock_unlock(&the_rwlock);
}
static NOINLINE void wait_write(void) {
    CHECK(pthread_rwlock_wrlock(&the_rwlock) == 0);
    pthread_rwlock_unlock(&the_rwlock);
}
static void hold_rwlock(void) { pthread_rwlock_wrlock(&the_rwlock); }
static void free_rwlock(void) { pthread_rwlock_unlock(&the_rwlock); }

static bool signalled;
static NOINLINE void wait_cond(void) {
    pthread_mutex_lock(&mutex_of_cond);
    while (!signalled)
        CHECK(pthread_cond_wait(&the_cond, &mutex_of_cond) == 0);
    pthread_mutex_unlock(&mutex_of_cond);
}
static void free_cond(void) {
    pthread_mutex_lock(&mutex_of_cond);
    signalled = true;
    pthread_mutex_unlock(&mutex_of_cond);
    pthread_cond_signal(&the_cond);
}

static NOINLINE void wait_sem(void) { CHECK(sem_wait(&the_sem) == 0); }
static void free_sem(void) { sem_post(&the_sem); }

static NOINLINE void wait_barrier(void) {
    pthread_barrier_wait(&the_barrier);
    __asm__ volatile("" ::: "memory");
}
static void free_barrier(void) { pthread_barrier_wait(&the_barrier); }

static NOINLINE void wait_once(void) { CHECK(pthread_once(&the_once, until_gate) == 0); }
static void *once_thread(void *unused) { return pthread_once(&the_once, until_gate), unused; }
static void hold_once(void) {
    pthread_t t;
    pthread_create(&t, NULL, once_thread, NULL);
    pthread_detach(t);
    while (!__atomic_load_n(&the_once, __ATOMIC_SEQ_CST))
        nap();
}
static void free_gate(void) { store_int(&gate, 1); }

static NOINLINE void wait_spin(void) {
    CHECK(pthread_spin_lock(&the_spin) == 0);
    pthread_spin_unlock(&the_spin);
}
static void hold_spin(void) { pthread_spin_lock(&the_spin); }
static void free_spin(void) { pthread_spin_unlock(&the_spin); }

static NOINLINE void wait_futex(void) {
    while (__atomic_load_n(&the_word, __ATOMIC_SEQ_CST) == 1)
        syscall(SYS_futex, &the_word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
}
static void free_futex(void) {
    __atomic_store_n(&the_word, 0, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &the_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static NOINLINE void wait_join(void) { CHECK(pthread_join(the_thread, NULL) == 0); }
static void hold_join(void) { pthread_create(&the_thread, NULL, gated_thread, NULL); }

static void nothing(void) {}

/* A thread waits by wait(), after hold() and until free_it(). */
static const struct wait {
    const char *name;
    void (*hold)(void), (*wait)(void), (*free_it)(void);
} waits[] = {{"mutex", hold_mutex, wait_mutex, free_mutex},
             {"rwlock-read", hold_rwlock, wait_read, free_rwlock},
             {"rwlock-write", hold_rwlock, wait_write, free_rwlock},
             {"cond", nothing, wait_cond, free_cond},
             {"sem", nothing, wait_sem, free_sem},
             {"barrier", nothing, wait_barrier, free_barrier},
             {"once", hold_once, wait_once, free_gate},
             {"spin", hold_spin, wait_spin, free_spin},
             {"futex", nothing, wait_futex, free_futex},
             {"join", hold_join, wait_join, free_gate}};

struct waiter {
    const struct wait *what;
    int entering;
    pid_t tid;
    pthread_t thread;
    double took_ns;
};

static void *waiter_main(void *waiter) {
    struct waiter *w = waiter;
    w->tid = my_tid();
    add_int(&w->entering, 1);
    int64_t begin = now_ns();
    w->what->wait();
    w->took_ns = now_ns() - begin;
    return NULL;
}

/* Until the waiter really waits. A spinner never sleeps: it has had time to begin by then. */
static void until_waiting(struct waiter *w) {
    if (strcmp(w->what->name, "spin") != 0) {
        until_asleep(&w->entering, &w->tid, 1);
        return;
    }
    while (!load_int(&w->entering))
        nap();
    burn(20);
}

static void number_of(const char *what, const char *kind, double v) {
    char name[64];
    snprintf(name, sizeof name, "%s_%s", what, kind);
    number(name, v);
}

/* The waits of this host itself must not be among those that are looked at. */
static void join_quietly(pthread_t t) {
    while (pthread_tryjoin_np(t, NULL) != 0)
        nap();
}

/* kinds: one wait of each kind, at least 20 ms of it after it is known to have begun. */
static void kinds(int argc, char **argv) {
    for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
        struct waiter w = {.what = &waits[i]};
        store_int(&gate, 0);
        w.what->hold();
        pthread_create(&w.thread, NULL, waiter_main, &w);
        until_waiting(&w);
        int64_t begin = now_ns();
        sleep_ms(20);
        number_of("least", w.what->name, now_ns() - begin);
        w.what->free_it();
        join_quietly(w.thread);
        number_of("most", w.what->name, w.took_ns);
    }
}

/* stuck: the program ends while a thread of each kind still waits. */
static void stuck(int argc, char **argv) {
    static struct waiter w[ARRAY_SIZE(waits)];
    int64_t before = now_ns();
    for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
        w[i].what = &waits[i];
        if (i == 0 || w[i].what->hold != w[i - 1].what->hold)
            w[i].what->hold();
        pthread_create(&w[i].thread, NULL, waiter_main, &w[i]);
        until_waiting(&w[i]);
    }
    int64_t begin = now_ns();
    sleep_ms(20);
    number("least", now_ns() - begin);
    number("so_far", now_ns() - before);
    _exit(host_failed);
}

/* --- time limits --- */

static struct timespec after(clockid_t clock, int64_t ns) {
    struct timespec t;
    clock_gettime(clock, &t);
    ns += t.tv_nsec;
    t.tv_sec += ns / 1000000000;
    t.tv_nsec = ns % 1000000000;
    return t;
}

static int all_held;
/* Holds everything, so that every attempt at it runs out of time. */
static void hold_all(void) {
    pthread_mutex_lock(&the_mutex);
    pthread_rwlock_wrlock(&the_rwlock);
    pthread_create(&the_thread, NULL, gated_thread, NULL);
    add_int(&all_held, 1);
    until_gate();
    pthread_mutex_unlock(&the_mutex);
    pthread_rwlock_unlock(&the_rwlock);
}
static void *holder(void *unused) { return hold_all(), unused; }

static NOINLINE void timed_mutex(const struct timespec *t) {
    CHECK(pthread_mutex_timedlock(&the_mutex, t) == ETIMEDOUT);
}
static NOINLINE void timed_read(const struct timespec *t) {
    CHECK(pthread_rwlock_timedrdlock(&the_rwlock, t) == ETIMEDOUT);
}
static NOINLINE void timed_write(const struct timespec *t) {
    CHECK(pthread_rwlock_timedwrlock(&the_rwlock, t) == ETIMEDOUT);
}
static NOINLINE void timed_cond(const struct timespec *t) {
    int r = 0;
    pthread_mutex_lock(&mutex_of_cond);
    while (r != ETIMEDOUT)
        r = pthread_cond_timedwait(&the_cond, &mutex_of_cond, t);
    pthread_mutex_unlock(&mutex_of_cond);
}
static NOINLINE void timed_sem(const struct timespec *t) {
    CHECK(sem_timedwait(&the_sem, t) == -1 && errno == ETIMEDOUT);
}
static NOINLINE void timed_join(const struct timespec *t) {
    CHECK(pthread_timedjoin_np(the_thread, NULL, t) == ETIMEDOUT);
}
static NOINLINE void timed_futex(const struct timespec *t) {
    CHECK(syscall(SYS_futex, &the_word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 1, t,
                  NULL, FUTEX_BITSET_MATCH_ANY) == -1 &&
          errno == ETIMEDOUT);
}

static const struct timed {
    const char *name;
    void (*wait)(const struct timespec *);
} timed[] = {{"mutex", timed_mutex}, {"rwlock-read", timed_read}, {"rwlock-write", timed_write},
             {"cond", timed_cond},   {"sem", timed_sem},          {"join", timed_join},
             {"futex", timed_futex}};

struct timed_waiter {
    const struct timed *what;
    struct timespec end;
    int entering, done;
    pid_t tid;
    pthread_t thread;
    double took_ns;
};

static void *timed_main(void *waiter) {
    struct timed_waiter *w = waiter;
    w->tid = my_tid();
    w->end = after(CLOCK_REALTIME, 50000000);
    add_int(&w->entering, 1);
    int64_t begin = now_ns();
    w->what->wait(&w->end);
    w->took_ns = now_ns() - begin;
    add_int(&w->done, 1);
    return NULL;
}

/* From when it was seen asleep to the end of its time it certainly waited; nothing, if it was over
 * before anybody looked. */
static double certain_wait(struct timed_waiter *w) {
    while (!load_int(&w->entering))
        nap();
    while (!asleep(w->tid) && !load_int(&w->done))
        nap();
    double left = (double)w->end.tv_sec * 1e9 + (double)w->end.tv_nsec;
    left -= (double)clock_of(CLOCK_REALTIME);
    return left > 0 ? left : 0;
}

/* timeouts: every kind with a time limit of 50 ms that runs out. */
static void timeouts(int argc, char **argv) {
    pthread_t t;
    pthread_create(&t, NULL, holder, NULL);
    while (!load_int(&all_held))
        nap();
    for (size_t i = 0; i < ARRAY_SIZE(timed); i++) {
        struct timed_waiter w = {.what = &timed[i]};
        CHECK(pthread_create(&w.thread, NULL, timed_main, &w) == 0);
        number_of("least", timed[i].name, certain_wait(&w));
        join_quietly(w.thread);
        number_of("most", timed[i].name, w.took_ns);
    }
    free_gate();
    join_quietly(t);
}

/*
 * sampled N: three sites in one thread, all waits for a lock that is held: N waits as short as a
 * call can be (its limit was never in the future), N/1000 of 1 ms, one of 1 s. Mixed, so that no
 * site has the sampler for itself.
 */
static struct { double took_ns, doubtful_ns, n; } site[3];

static long preemptions(void) {
    struct rusage u;
    CHECK(getrusage(RUSAGE_THREAD, &u) == 0);
    return u.ru_nivcsw;
}

/* A thread that had to make way may have done so before it waited or afterwards. */
static void wait_until(struct timespec end, int i) {
    long before = preemptions();
    int64_t begin = now_ns();
    CHECK(pthread_mutex_timedlock(&the_mutex, &end) == ETIMEDOUT);
    int64_t took = now_ns() - begin;
    site[i].took_ns += took;
    site[i].doubtful_ns += preemptions() != before ? took : 0;
    site[i].n++;
}
static NOINLINE void short_wait(void) {
    wait_until((struct timespec){-1, 0}, 0);
    __asm__ volatile("" ::: "memory");
}
static NOINLINE void middle_wait(void) {
    wait_until(after(CLOCK_REALTIME, 1000000), 1);
    __asm__ volatile("" ::: "memory");
}
static NOINLINE void long_wait(void) {
    wait_until(after(CLOCK_REALTIME, 1000000000), 2);
    __asm__ volatile("" ::: "memory");
}

static void sampled(int argc, char **argv) {
    static const char *const names[] = {"short", "middle", "long"};
    int n = atoi(argv[0]);
    pthread_t t;
    pthread_create(&t, NULL, holder, NULL);
    while (!load_int(&all_held))
        nap();
    for (int i = 0; i < n; i++) {
        short_wait();
        if (i % 1000 == 999)
            middle_wait();
        if (i == n / 2)
            long_wait();
    }
    for (int i = 0; i < 3; i++) {
        char name[32];
        number(names[i], site[i].took_ns);
        snprintf(name, sizeof name, "%s_doubtful", names[i]);
        number(name, site[i].doubtful_ns);
        snprintf(name, sizeof name, "%s_n", names[i]);
        number(name, site[i].n);
    }
    free_gate();
    join_quietly(t);
}

/*
 * crowd THREADS ROUNDS: threads that hold one of three mutexes or a read-write lock for some
 * microseconds of CPU time each, in an order of their own; two of the mutexes are held inside
 * another one. What they measure around their lock calls is the most that anybody waited. queues
 * THREADS ROUNDS: the same with locks whose waiters sleep on words of their own.
 */
static pthread_mutex_t crowded[3] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
                                     PTHREAD_MUTEX_INITIALIZER};
static struct {
    int rounds;
    bool queues;
    double most_ns;
    pthread_mutex_t sum;
} crowd_state = {.sum = PTHREAD_MUTEX_INITIALIZER};

static NOINLINE void crowd_hold(uint32_t r) {
    spin(500 + r % 4000);
    __asm__ volatile("" ::: "memory");
}

static int64_t crowd_mutex(uint32_t r) {
    int64_t begin = now_ns(), took;
    pthread_mutex_lock(&crowded[r % 2]);
    took = now_ns() - begin;
    if (r % 5 == 0) {
        begin = now_ns();
        pthread_mutex_lock(&crowded[2]);
        took += now_ns() - begin;
        crowd_hold(r / 2);
        pthread_mutex_unlock(&crowded[2]);
    }
    crowd_hold(r);
    pthread_mutex_unlock(&crowded[r % 2]);
    return took;
}

static int64_t crowd_rwlock(uint32_t r) {
    int64_t begin = now_ns(), took;
    if (r % 4)
        pthread_rwlock_rdlock(&the_rwlock);
    else
        pthread_rwlock_wrlock(&the_rwlock);
    took = now_ns() - begin;
    crowd_hold(r);
    pthread_rwlock_unlock(&the_rwlock);
    return took;
}

/* Two locks with queues, one inside of the other at times. */
static struct queue queued[2];

static int64_t crowd_queue(uint32_t r) {
    int64_t begin = now_ns(), took;
    queue_lock(&queued[0]);
    took = now_ns() - begin;
    if (r % 5 == 0) {
        begin = now_ns();
        queue_lock(&queued[1]);
        took += now_ns() - begin;
        crowd_hold(r / 2);
        queue_unlock(&queued[1]);
    }
    crowd_hold(r);
    queue_unlock(&queued[0]);
    return took;
}

static int64_t crowd_once(uint32_t seed) {
    if (crowd_state.queues)
        return crowd_queue(seed >> 8);
    return seed >> 29 ? crowd_mutex(seed >> 8) : crowd_rwlock(seed >> 8);
}

static void *crowd_main(void *number_of_thread) {
    uint32_t seed = 2654435761u * (uint32_t)(intptr_t)number_of_thread + 1;
    int64_t took = 0;
    for (int i = 0; i < crowd_state.rounds; i++) {
        seed = seed * 1664525 + 1013904223;
        took += crowd_once(seed);
    }
    pthread_mutex_lock(&crowd_state.sum);
    crowd_state.most_ns += took;
    pthread_mutex_unlock(&crowd_state.sum);
    return NULL;
}

static void crowd(int argc, char **argv) {
    pthread_t t[64];
    int n = atoi(argv[0]);
    crowd_state.rounds = atoi(argv[1]);
    for (int i = 0; i < n; i++)
        CHECK(pthread_create(&t[i], NULL, crowd_main, (void *)(intptr_t)i) == 0);
    for (int i = 0; i < n; i++)
        pthread_join(t[i], NULL);
    number("most", crowd_state.most_ns);
}

static void queues(int argc, char **argv) {
    crowd_state.queues = true;
    crowd(argc, argv);
}

/*
 * relock ROUNDS: eight threads wait for a broadcast, which comes from one that goes on holding
 * their mutex for 5 ms of CPU time: from then on they wait for the mutex and not for the signal.
 */
static struct {
    int rounds, generation, gathered;
    pthread_cond_t next, all;
    double held_ns;
} relock_state = {.next = PTHREAD_COND_INITIALIZER, .all = PTHREAD_COND_INITIALIZER};

static NOINLINE void relock_wait(void) {
    pthread_mutex_lock(&mutex_of_cond);
    int mine = relock_state.generation;
    if (++relock_state.gathered == VICTIMS)
        pthread_cond_signal(&relock_state.all);
    while (mine == relock_state.generation)
        pthread_cond_wait(&relock_state.next, &mutex_of_cond);
    pthread_mutex_unlock(&mutex_of_cond);
}

static void *relock_main(void *unused) {
    for (int i = 0; i < relock_state.rounds; i++)
        relock_wait();
    return unused;
}

static NOINLINE void relock_release(void) {
    pthread_mutex_unlock(&mutex_of_cond);
    __asm__ volatile("" ::: "memory");
}

static void relock_round(void) {
    pthread_mutex_lock(&mutex_of_cond);
    while (relock_state.gathered < VICTIMS)
        pthread_cond_wait(&relock_state.all, &mutex_of_cond);
    relock_state.gathered = 0;
    relock_state.generation++;
    pthread_cond_broadcast(&relock_state.next);
    int64_t begin = now_ns();
    burn(HOLD_MS);
    relock_state.held_ns += now_ns() - begin;
    relock_release();
}

static void relock(int argc, char **argv) {
    pthread_t t[VICTIMS];
    relock_state.rounds = atoi(argv[0]);
    for (int i = 0; i < VICTIMS; i++)
        CHECK(pthread_create(&t[i], NULL, relock_main, NULL) == 0);
    for (int i = 0; i < relock_state.rounds; i++)
        relock_round();
    for (int i = 0; i < VICTIMS; i++)
        pthread_join(t[i], NULL);
    number("held", relock_state.held_ns * VICTIMS);
}

int main(int argc, char **argv) {
    static const struct scenario list[] = {
        {"kinds", kinds}, {"stuck", stuck},   {"timeouts", timeouts}, {"sampled", sampled},
        {"crowd", crowd}, {"queues", queues}, {"relock", relock},     {0}};
    sem_init(&the_sem, 0, 0);
    pthread_barrier_init(&the_barrier, NULL, 2);
    pthread_spin_init(&the_spin, PTHREAD_PROCESS_PRIVATE);
    return host_main(argc, argv, list);
}
