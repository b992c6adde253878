/* The rules of condition variables, cancellation among them: rules.h. */
#include "rules.h"

#include <sys/mman.h>
#include <threads.h>

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static int go; /* under m */

static int wait_go(void) {
    int r = 0;
    pthread_mutex_lock(&m);
    while (!go && r == 0)
        r = pthread_cond_wait(&c, &m);
    pthread_mutex_unlock(&m);
    return r;
}

static int timed_go(void) {
    struct timespec far = in_ms(CLOCK_REALTIME, 3600000);
    int r = 0;
    pthread_mutex_lock(&m);
    while (!go && r == 0)
        r = pthread_cond_timedwait(&c, &m, &far);
    pthread_mutex_unlock(&m);
    return r;
}

static int clock_go(void) {
    struct timespec far = in_ms(CLOCK_MONOTONIC, 3600000);
    int r = 0;
    pthread_mutex_lock(&m);
    while (!go && r == 0)
        r = pthread_cond_clockwait(&c, &m, CLOCK_MONOTONIC, &far);
    pthread_mutex_unlock(&m);
    return r;
}

static void set_go(int value) {
    pthread_mutex_lock(&m);
    go = value;
    pthread_mutex_unlock(&m);
}

static int try_it(void) {
    int r = pthread_mutex_trylock(&m);
    return r ? r : pthread_mutex_unlock(&m);
}

static void signal_and_broadcast(void) {
    int (*const ways[])(void) = {wait_go, timed_go, clock_go};
    SAY(pthread_cond_signal(&c));
    SAY(pthread_cond_broadcast(&c));
    for (int i = 0; i < 3; i++) {
        struct helper *h[3];
        set_go(0);
        for (int k = 0; k < 3; k++)
            h[k] = helper_blocked(ways[(i + k) % 3]);
        SAY(elsewhere(try_it)); /* nobody holds it while they wait */
        set_go(1);
        if (i == 0)
            SAY(pthread_cond_broadcast(&c));
        else
            for (int k = 0; k < 3; k++)
                SAY(pthread_cond_signal(&c));
        for (int k = 0; k < 3; k++)
            SAY(helper_answer(h[k]));
    }
    SAY(pthread_cond_destroy(&c));
    SAY(pthread_cond_init(&c, NULL));
}

static void time_limits(void) {
    struct timespec t = in_ms(CLOCK_REALTIME, 5);
    pthread_mutex_lock(&m);
    SAY(pthread_cond_timedwait(&c, &m, &t));
    SAY(elsewhere(try_it)); /* locked again */
    SAY(pthread_cond_timedwait(&c, &m, &long_ago));
    SAY(pthread_cond_timedwait(&c, &m, &never_a_time));
    t = in_ms(CLOCK_MONOTONIC, 5);
    SAY(pthread_cond_clockwait(&c, &m, CLOCK_MONOTONIC, &t));
    SAY(pthread_cond_clockwait(&c, &m, CLOCK_MONOTONIC, &long_ago));
    SAY(pthread_cond_clockwait(&c, &m, CLOCK_MONOTONIC, &never_a_time));
    SAY(pthread_cond_clockwait(&c, &m, 99, &t));
    SAY(elsewhere(try_it));
    pthread_mutex_unlock(&m);
    pthread_condattr_t a;
    pthread_cond_t monotonic;
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(&monotonic, &a);
    t = in_ms(CLOCK_MONOTONIC, 5);
    pthread_mutex_lock(&m);
    SAY(pthread_cond_timedwait(&monotonic, &m, &t));
    pthread_mutex_unlock(&m);
    SAY(pthread_cond_destroy(&monotonic));
}

static pthread_mutex_t special;
static void make_special(int type, int robust) {
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_settype(&a, type);
    pthread_mutexattr_setrobust(&a, robust);
    pthread_mutex_init(&special, &a);
}

static int special_free(void) {
    int r = pthread_mutex_trylock(&special);
    return r ? r : pthread_mutex_unlock(&special);
}

/* A wait with a mutex that is not the caller's, and with one that he holds twice. */
static void other_mutexes(void) {
    struct timespec t = in_ms(CLOCK_REALTIME, 5);
    make_special(PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_STALLED);
    SAY(pthread_cond_wait(&c, &special));
    SAY(pthread_cond_timedwait(&c, &special, &t));
    pthread_mutex_lock(&special);
    SAY(pthread_cond_timedwait(&c, &special, &t));
    SAY(elsewhere(special_free));
    SAY(pthread_mutex_unlock(&special));
    make_special(PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED);
    pthread_mutex_lock(&special);
    pthread_mutex_lock(&special);
    SAY(pthread_cond_timedwait(&c, &special, &t));
    SAY(pthread_mutex_unlock(&special));
    SAY(elsewhere(special_free));
    SAY(pthread_mutex_unlock(&special));
    SAY(elsewhere(special_free));
}

static int lock_special_and_die(void) { return pthread_mutex_lock(&special); }
static int wait_special(void) {
    struct timespec far = in_ms(CLOCK_REALTIME, 3600000);
    int r = pthread_mutex_lock(&special);
    while (!go && r == 0)
        r = pthread_cond_timedwait(&c, &special, &far);
    if (r == EOWNERDEAD)
        pthread_mutex_consistent(&special);
    pthread_mutex_unlock(&special);
    return r;
}

/* The mutex comes back with the news that its owner died. */
static void owner_dies(void) {
    make_special(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST);
    go = 0;
    struct helper *h = helper_blocked(wait_special);
    SAY(elsewhere(lock_special_and_die));
    SAY(pthread_cond_signal(&c));
    SAY(helper_answer(h));
    SAY(elsewhere(special_free));
    SAY(pthread_mutex_destroy(&special));
}

/* --- cancellation: the mutex is held in the cleanup handlers, and nothing of the wait remains ---
 */

static int cleanups;
static void unlock_again(void *unused) {
    cleanups += pthread_mutex_trylock(&m) == EBUSY;
    pthread_mutex_unlock(&m);
}

static int cancelled_wait(void) {
    pthread_mutex_lock(&m);
    pthread_cleanup_push(unlock_again, NULL);
    for (;;)
        pthread_cond_wait(&c, &m);
    pthread_cleanup_pop(1);
    return 0;
}

static int cancelled_timed_wait(void) {
    struct timespec far = in_ms(CLOCK_REALTIME, 3600000);
    pthread_mutex_lock(&m);
    pthread_cleanup_push(unlock_again, NULL);
    for (;;)
        pthread_cond_timedwait(&c, &m, &far);
    pthread_cleanup_pop(1);
    return 0;
}

static int cancelled_clock_wait(void) {
    struct timespec far = in_ms(CLOCK_MONOTONIC, 3600000);
    pthread_mutex_lock(&m);
    pthread_cleanup_push(unlock_again, NULL);
    for (;;)
        pthread_cond_clockwait(&c, &m, CLOCK_MONOTONIC, &far);
    pthread_cleanup_pop(1);
    return 0;
}

static void cancelled(void) {
    int (*const ways[])(void) = {cancelled_wait, cancelled_timed_wait, cancelled_clock_wait};
    set_go(0);
    for (int i = 0; i < 3; i++) {
        cleanups = 0;
        struct helper *h = helper_blocked(ways[i]), *other = helper_blocked(wait_go);
        pthread_cancel(h->thread);
        SAY(helper_answer(h));
        say("  way %d: %d cleanups with the lock held", i, cleanups);
        SAY(elsewhere(try_it));
        set_go(1);
        pthread_cond_broadcast(&c);
        SAY(helper_answer(other));
        set_go(0);
    }
}

/* The one who is cancelled finds the mutex held by another: it has to wait for it even so. */
static void cancelled_while_held(void) {
    cleanups = 0;
    struct helper *h = helper_blocked(cancelled_wait);
    pthread_mutex_lock(&m);
    pthread_cancel(h->thread);
    burn(2);
    while (!asleep(h->tid))
        nap();
    SAY(pthread_mutex_unlock(&m));
    SAY(helper_answer(h));
    say("  %d cleanups", cleanups);
    SAY(elsewhere(try_it));
}

/* Cancellation and a signal to somebody else at the same time: the other one must get it. */
static void cancelled_beside_a_signal(void) {
    for (int i = 0; i < 50; i++) {
        set_go(0);
        struct helper *h = helper_blocked(cancelled_wait), *other = helper_blocked(wait_go);
        pthread_cancel(h->thread);
        set_go(1);
        pthread_cond_signal(&c);
        pthread_cond_signal(&c);
        CHECK(helper_answer(h) == ECANCELED);
        CHECK(helper_answer(other) == 0);
    }
}

/* --- the condition variable of glibc 2.2.5: as large as a pointer --- */

#ifdef __x86_64__
#define VERSIONED(alias, name, version) __asm__(".symver " #alias ", " #name "@" version)
int old_wait(void *, pthread_mutex_t *);
int old_timedwait(void *, pthread_mutex_t *, const struct timespec *);
int old_signal(void *);
int old_broadcast(void *);
int old_init(void *, const void *);
int old_destroy(void *);
VERSIONED(old_wait, pthread_cond_wait, "GLIBC_2.2.5");
VERSIONED(old_timedwait, pthread_cond_timedwait, "GLIBC_2.2.5");
VERSIONED(old_signal, pthread_cond_signal, "GLIBC_2.2.5");
VERSIONED(old_broadcast, pthread_cond_broadcast, "GLIBC_2.2.5");
VERSIONED(old_init, pthread_cond_init, "GLIBC_2.2.5");
VERSIONED(old_destroy, pthread_cond_destroy, "GLIBC_2.2.5");

static struct {
    void *cond;
    unsigned char guard[64];
} old;

static int wait_old(void) {
    int r = 0;
    pthread_mutex_lock(&m);
    while (!go && r == 0)
        r = old_wait(&old.cond, &m);
    pthread_mutex_unlock(&m);
    return r;
}

static int timed_old(void) {
    struct timespec far = in_ms(CLOCK_REALTIME, 3600000);
    int r = 0;
    pthread_mutex_lock(&m);
    while (!go && r == 0)
        r = old_timedwait(&old.cond, &m, &far);
    pthread_mutex_unlock(&m);
    return r;
}

static void old_version(void) {
    struct timespec t = in_ms(CLOCK_REALTIME, 5);
    memset(old.guard, 0x5a, sizeof old.guard);
    SAY(old_init(&old.cond, NULL));
    SAY(old_signal(&old.cond));
    pthread_mutex_lock(&m);
    SAY(old_timedwait(&old.cond, &m, &t));
    pthread_mutex_unlock(&m);
    for (int i = 0; i < 2; i++) {
        set_go(0);
        struct helper *a = helper_blocked(wait_old), *b = helper_blocked(timed_old);
        set_go(1);
        if (i == 0)
            SAY(old_broadcast(&old.cond));
        else
            for (int k = 0; k < 2; k++)
                SAY(old_signal(&old.cond));
        SAY(helper_answer(a));
        SAY(helper_answer(b));
    }
    SAY(old_destroy(&old.cond));
    for (size_t i = 0; i < sizeof old.guard; i++)
        CHECK(old.guard[i] == 0x5a);
}

int explicit_wait(pthread_cond_t *, pthread_mutex_t *);
VERSIONED(explicit_wait, pthread_cond_wait, "GLIBC_2.3.2");
static int wait_explicit(void) {
    int r = 0;
    pthread_mutex_lock(&m);
    while (!go && r == 0)
        r = explicit_wait(&c, &m);
    pthread_mutex_unlock(&m);
    return r;
}

static void version_named(void) {
    set_go(0);
    struct helper *h = helper_blocked(wait_explicit);
    set_go(1);
    SAY(pthread_cond_signal(&c));
    SAY(helper_answer(h));
}
#else
static void old_version(void) {}
static void version_named(void) {}
#endif

/* --- C11 --- */

static mtx_t cm;
static cnd_t cc;

static int c11_wait(void) {
    mtx_lock(&cm);
    while (!go)
        cnd_wait(&cc, &cm);
    mtx_unlock(&cm);
    return thrd_success;
}

static int c11_timed(void) {
    struct timespec t = in_ms(CLOCK_REALTIME, 5);
    mtx_lock(&cm);
    int r = cnd_timedwait(&cc, &cm, &t);
    mtx_unlock(&cm);
    return r;
}

static void c11_conditions(void) {
    say("  init %d", mtx_init(&cm, mtx_plain));
    say("  init %d", cnd_init(&cc));
    say("  timed %d", elsewhere(c11_timed));
    for (int i = 0; i < 2; i++) {
        go = 0;
        struct helper *h = helper_blocked(c11_wait);
        mtx_lock(&cm);
        go = 1;
        mtx_unlock(&cm);
        say("  %d", i ? cnd_signal(&cc) : cnd_broadcast(&cc));
        say("  waiter %d", helper_answer(h));
    }
    cnd_destroy(&cc);
    mtx_destroy(&cm);
}

/* --- between processes --- */

static struct shared {
    pthread_mutex_t m;
    pthread_cond_t c;
    int go, gone;
} * shared;

static void wait_in_child(void) {
    pthread_mutex_lock(&shared->m);
    add_int(&shared->gone, 1);
    while (!shared->go)
        pthread_cond_wait(&shared->c, &shared->m);
    pthread_mutex_unlock(&shared->m);
    _exit(7);
}

static void between_processes(void) {
    pthread_mutexattr_t ma;
    pthread_condattr_t ca;
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_init(&ma);
    pthread_condattr_init(&ca);
    pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED);
    pthread_condattr_setpshared(&ca, PTHREAD_PROCESS_SHARED);
    SAY(pthread_mutex_init(&shared->m, &ma));
    SAY(pthread_cond_init(&shared->c, &ca));
    pid_t pid[3];
    for (int i = 0; i < 3; i++)
        if ((pid[i] = fork()) == 0)
            wait_in_child();
    while (load_int(&shared->gone) < 3)
        nap();
    pthread_mutex_lock(&shared->m);
    shared->go = 1;
    SAY(pthread_cond_broadcast(&shared->c));
    pthread_mutex_unlock(&shared->m);
    for (int i = 0; i < 3; i++) {
        int status = 0;
        CHECK(waitpid(pid[i], &status, 0) == pid[i]);
        say("  child ended with %#x", (unsigned)status);
    }
    munmap(shared, 4096);
}

/* One condition variable after the other at the same address, waiters and all. */
static void destroyed_and_reused(void) {
    for (int i = 0; i < 30; i++) {
        set_go(0);
        struct helper *h = helper_blocked(i % 2 ? wait_go : timed_go);
        set_go(1);
        CHECK(pthread_cond_broadcast(&c) == 0);
        CHECK(pthread_cond_destroy(&c) == 0); /* waits until the woken are out of it */
        memset(&c, 0xa5, sizeof c);
        CHECK(pthread_cond_init(&c, NULL) == 0);
        CHECK(helper_answer(h) == 0);
    }
}

int main(int argc, char **argv) {
    static const struct rule list[] = {{"signal_and_broadcast", signal_and_broadcast},
                                       {"time_limits", time_limits},
                                       {"other_mutexes", other_mutexes},
                                       {"owner_dies", owner_dies},
                                       {"cancelled", cancelled},
                                       {"cancelled_while_held", cancelled_while_held},
                                       {"cancelled_beside_a_signal", cancelled_beside_a_signal},
                                       {"old_version", old_version},
                                       {"version_named", version_named},
                                       {"c11_conditions", c11_conditions},
                                       {"between_processes", between_processes},
                                       {"destroyed_and_reused", destroyed_and_reused},
                                       {0}};
    return rules_main(argc, argv, list);
}
