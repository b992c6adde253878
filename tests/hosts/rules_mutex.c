/* The rules of mutexes, spin locks and C11's mtx: rules.h. */
#include "rules.h"

#include <limits.h>
#include <sched.h>
#include <sys/mman.h>
#include <threads.h>

static pthread_mutex_t m;

/* A mutex of a type, a robustness, a protocol. */
static void make(int type, int robust, int protocol) {
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    CHECK(pthread_mutexattr_settype(&a, type) == 0);
    CHECK(pthread_mutexattr_setrobust(&a, robust) == 0);
    CHECK(pthread_mutexattr_setprotocol(&a, protocol) == 0);
    if (protocol == PTHREAD_PRIO_PROTECT)
        pthread_mutexattr_setprioceiling(&a, sched_get_priority_min(SCHED_FIFO));
    CHECK(pthread_mutex_init(&m, &a) == 0);
    pthread_mutexattr_destroy(&a);
}

static int lock(void) { return pthread_mutex_lock(&m); }
static int try_it(void) { return pthread_mutex_trylock(&m); }
static int unlock(void) { return pthread_mutex_unlock(&m); }
static int destroy(void) { return pthread_mutex_destroy(&m); }
static int lock_unlock(void) {
    int r = lock();
    return r ? r : unlock();
}
static int try_unlock(void) {
    int r = try_it();
    return r ? r : unlock();
}
static int timed(long ms) {
    struct timespec t = in_ms(CLOCK_REALTIME, ms);
    return pthread_mutex_timedlock(&m, &t);
}
static int clocked(long ms) {
    struct timespec t = in_ms(CLOCK_MONOTONIC, ms);
    return pthread_mutex_clocklock(&m, CLOCK_MONOTONIC, &t);
}
static int timed_5(void) { return timed(5); }
static int clocked_5(void) { return clocked(5); }
static int timed_far_unlock(void) {
    int r = timed(3600000);
    return r ? r : unlock();
}
static int clocked_far_unlock(void) {
    int r = clocked(3600000);
    return r ? r : unlock();
}
static int lock_and_die(void) { return lock(); }

/* Everything that does not depend on who is allowed to. */
static void common_part(void) {
    SAY(lock());
    SAY(elsewhere(try_unlock));
    SAY(elsewhere(timed_5));
    SAY(elsewhere(clocked_5));
    if (!(m.__data.__kind & 16)) /* glibc destroys a robust one that is held */
        SAY(destroy());
    struct helper *a = helper_blocked(lock_unlock), *b = helper_blocked(timed_far_unlock);
    struct helper *c = helper_blocked(clocked_far_unlock);
    SAY(unlock());
    SAY(helper_answer(a));
    SAY(helper_answer(b));
    SAY(helper_answer(c));
    SAY(try_it());
    SAY(unlock());
    SAY(timed(3600000));
    SAY(unlock());
    SAY(pthread_mutex_timedlock(&m, &never_a_time));
    SAY(pthread_mutex_timedlock(&m, &never_a_time));
    SAY(unlock());
    SAY(pthread_mutex_clocklock(&m, CLOCK_MONOTONIC, &long_ago));
    SAY(unlock());
    SAY(pthread_mutex_clocklock(&m, 99, &long_ago));
    SAY(destroy());
}

static void normal(void) {
    make(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE);
    SAY(lock());
    SAY(timed(5));
    SAY(clocked(5));
    SAY(try_it());
    SAY(pthread_mutex_timedlock(&m, &long_ago));
    SAY(pthread_mutex_timedlock(&m, &never_a_time));
    SAY(pthread_mutex_clocklock(&m, CLOCK_REALTIME, &never_a_time));
    SAY(elsewhere(unlock)); /* a binary semaphore, as some use it */
    SAY(destroy());
    make(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE);
    common_part();
}

static int twice(void) { return lock() + lock(); }

/* Locking one's own normal mutex waits for ever, unless somebody else takes pity. */
static void normal_self_deadlock(void) {
    make(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE);
    struct helper *h = helper_blocked(twice);
    SAY(unlock());
    SAY(helper_answer(h));
    SAY(unlock());
    SAY(destroy());
}

static void errorcheck(void) {
    make(PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE);
    SAY(unlock());
    SAY(lock());
    SAY(lock());
    SAY(try_it());
    SAY(timed(5));
    SAY(clocked(5));
    SAY(elsewhere(unlock));
    SAY(unlock());
    SAY(unlock());
    common_part();
}

static void recursive(void) {
    make(PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE);
    SAY(lock());
    SAY(lock());
    SAY(try_it());
    SAY(timed(5));
    SAY(clocked(5));
    struct helper *h = helper_blocked(lock_unlock);
    for (int i = 0; i < 4; i++) {
        SAY(unlock());
        SAY(elsewhere(try_unlock));
    }
    SAY(unlock());
    SAY(helper_answer(h));
    SAY(unlock());
    SAY(elsewhere(unlock));
    lock();
    unsigned count = m.__data.__count;
    m.__data.__count = UINT_MAX;
    SAY(lock());
    SAY(try_it());
    m.__data.__count = count;
    SAY(unlock());
    common_part();
}

static void adaptive(void) {
    make(PTHREAD_MUTEX_ADAPTIVE_NP, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE);
    common_part();
}

/* The owner dies: the next one gets the mutex and has to repair what it protects. */
static void robust_of(int type, int protocol) {
    make(type, PTHREAD_MUTEX_ROBUST, protocol);
    SAY(elsewhere(lock_and_die));
    SAY(lock());
    SAY(pthread_mutex_consistent(&m));
    SAY(unlock());
    SAY(elsewhere(lock_and_die));
    SAY(try_it());
    SAY(pthread_mutex_consistent(&m));
    SAY(unlock());
    SAY(elsewhere(lock_and_die));
    SAY(timed(3600000));
    SAY(pthread_mutex_consistent(&m));
    SAY(unlock());
    common_part();
    make(type, PTHREAD_MUTEX_ROBUST, protocol);
    SAY(elsewhere(lock_and_die));
    SAY(clocked(3600000));
    SAY(unlock()); /* not repaired */
    SAY(lock());
    SAY(try_it());
    SAY(timed(5));
    SAY(destroy());
}

static void robust(void) { robust_of(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE); }
static void robust_errorcheck(void) { robust_of(PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_NONE); }
static void robust_recursive(void) { robust_of(PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_NONE); }
static void robust_pi(void) { robust_of(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT); }

static int may_die;
static int lock_and_die_later(void) {
    int r = lock();
    while (!load_int(&may_die))
        nap();
    return r;
}

/* The owner dies while others wait: all of them get it, one after the other. */
static int repair(void) {
    int r = lock();
    if (r == EOWNERDEAD)
        pthread_mutex_consistent(&m);
    return unlock() ? -1 : r == EOWNERDEAD;
}

static void robust_waiters(void) {
    make(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_NONE);
    may_die = 0;
    struct helper *owner = helper_start(lock_and_die_later), *h[4];
    while (!load_int(&m.__data.__lock))
        nap();
    for (int i = 0; i < 4; i++)
        h[i] = helper_blocked(repair);
    store_int(&may_die, 1);
    int heirs = 0;
    for (int i = 0; i < 4; i++)
        heirs += helper_answer(h[i]);
    SAY(helper_answer(owner));
    say("  %d of 4 heard that the owner died", heirs);
    SAY(destroy());
}

static void pi(void) {
    make(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT);
    common_part();
    make(PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT);
    SAY(lock());
    SAY(lock());
    SAY(timed(5));
    SAY(elsewhere(unlock));
    SAY(unlock());
    common_part();
    make(PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT);
    SAY(lock());
    SAY(lock());
    SAY(unlock());
    SAY(elsewhere(try_unlock));
    SAY(unlock());
    common_part();
}

static int policy_of_mine(void) {
    struct sched_param p;
    int policy = -1;
    pthread_getschedparam(pthread_self(), &policy, &p);
    return policy * 1000 + p.sched_priority;
}

/* Needs the right to real-time priorities; who has it not is refused, with and without the agent.
 */
static int protected_real_time(void) {
    struct sched_param p = {.sched_priority = sched_get_priority_min(SCHED_FIFO)};
    if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &p) != 0)
        return EPERM;
    int r = lock();
    int inside = policy_of_mine();
    return r ? r : unlock() ? -1 : inside == policy_of_mine() ? 0 : EAGAIN;
}

static void pp(void) {
    make(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_PROTECT);
    say("  priority before: %d", policy_of_mine());
    SAY(lock());
    say("  priority inside: %d", policy_of_mine());
    SAY(try_it());
    SAY(elsewhere(try_unlock));
    SAY(timed(5));
    SAY(unlock());
    say("  priority after: %d", policy_of_mine());
    SAY(elsewhere(protected_real_time));
    SAY(destroy());
}

/* In memory that two processes share; the holder is the other one. */
static pthread_mutex_t *shared;
static int *stage;

static void hold_in_child(void) {
    pthread_mutex_lock(shared);
    store_int(stage, 1);
    while (load_int(stage) < 2)
        nap();
    pthread_mutex_unlock(shared);
}

static void die_in_child(void) {
    pthread_mutex_lock(shared);
    store_int(stage, 1);
}

static int lock_shared(void) {
    int r = pthread_mutex_lock(shared);
    return r ? r : pthread_mutex_unlock(shared);
}

static void between_processes(void) {
    pthread_mutexattr_t a;
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    stage = (int *)((char *)shared + 2048);
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    SAY(pthread_mutex_init(shared, &a));
    pid_t pid = fork();
    if (pid == 0)
        hold_in_child(), _exit(0);
    while (load_int(stage) < 1)
        nap();
    SAY(pthread_mutex_trylock(shared));
    struct helper *h = helper_blocked(lock_shared);
    store_int(stage, 2);
    SAY(helper_answer(h));
    CHECK(waitpid(pid, NULL, 0) == pid);
    in_child("dies with the lock", die_in_child);
    SAY(pthread_mutex_lock(shared));
    SAY(pthread_mutex_consistent(shared));
    SAY(pthread_mutex_unlock(shared));
    SAY(pthread_mutex_destroy(shared));
    munmap(shared, 4096);
}

/* The address lives on as another kind of mutex; and one that is freed by whoever unlocks last. */
static void destroyed_and_reused(void) {
    for (int i = 0; i < 30; i++) {
        make(i % 3, i % 2, i % 5 == 0 ? PTHREAD_PRIO_INHERIT : PTHREAD_PRIO_NONE);
        CHECK(lock() == 0);
        struct helper *h = helper_blocked(lock_unlock);
        CHECK(unlock() == 0);
        CHECK(helper_answer(h) == 0);
        CHECK(destroy() == 0);
        memset(&m, i, sizeof m);
    }
}

struct counted {
    pthread_mutex_t lock;
    int users;
};
static struct counted *counted;

static int leave_counted(void) {
    struct counted *c = counted;
    pthread_mutex_lock(&c->lock);
    int left = --c->users;
    pthread_mutex_unlock(&c->lock);
    if (left == 0) {
        memset(c, 0xa5, sizeof *c);
        free(c);
    }
    return left;
}

static void freed_by_the_last_user(void) {
    for (int i = 0; i < 200; i++) {
        struct helper *h[4];
        counted = malloc(sizeof *counted);
        *counted = (struct counted){PTHREAD_MUTEX_INITIALIZER, 4};
        pthread_mutex_lock(&counted->lock);
        for (int k = 0; k < 4; k++)
            h[k] = helper_start(leave_counted);
        pthread_mutex_unlock(&counted->lock);
        int sum = 0;
        for (int k = 0; k < 4; k++)
            sum += helper_answer(h[k]);
        CHECK(sum == 0 + 1 + 2 + 3);
    }
}

static pthread_spinlock_t s;
static int spin_try(void) {
    int r = pthread_spin_trylock(&s);
    return r ? r : pthread_spin_unlock(&s);
}
static int spin_lock(void) { return pthread_spin_lock(&s) ? -1 : pthread_spin_unlock(&s); }

static void spin_locks(void) {
    SAY(pthread_spin_init(&s, PTHREAD_PROCESS_PRIVATE));
    SAY(pthread_spin_lock(&s));
    SAY(pthread_spin_trylock(&s));
    SAY(elsewhere(spin_try));
    struct helper *h = helper_start(spin_lock);
    while (!load_int(&h->entering))
        nap();
    burn(5);
    SAY(pthread_spin_unlock(&s));
    SAY(helper_answer(h));
    SAY(elsewhere(spin_try));
    SAY(pthread_spin_destroy(&s));
}

static mtx_t c11;
static int c11_try(void) {
    int r = mtx_trylock(&c11);
    return r == thrd_success ? mtx_unlock(&c11) : r;
}
static int c11_lock(void) {
    int r = mtx_lock(&c11);
    return r == thrd_success ? mtx_unlock(&c11) : r;
}
static int c11_timed(void) {
    struct timespec t = in_ms(CLOCK_REALTIME, 5);
    return mtx_timedlock(&c11, &t);
}

static void c11_mutexes(void) {
    static const int types[] = {mtx_plain, mtx_timed, mtx_plain | mtx_recursive,
                                mtx_timed | mtx_recursive};
    say("  success %d, busy %d, timed out %d", thrd_success, thrd_busy, thrd_timedout);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        say("  type %d: %d", types[i], mtx_init(&c11, types[i]));
        say("  lock %d", mtx_lock(&c11));
        if (types[i] & mtx_recursive) {
            say("  again %d", mtx_lock(&c11));
            say("  unlock %d", mtx_unlock(&c11));
        }
        say("  try %d", elsewhere(c11_try));
        say("  timed %d", elsewhere(c11_timed));
        struct helper *h = helper_blocked(c11_lock);
        say("  unlock %d", mtx_unlock(&c11));
        say("  waiter %d", helper_answer(h));
        say("  try %d", c11_try());
        mtx_destroy(&c11);
    }
}

int main(int argc, char **argv) {
    static const struct rule list[] = {{"normal", normal},
                                       {"normal_self_deadlock", normal_self_deadlock},
                                       {"errorcheck", errorcheck},
                                       {"recursive", recursive},
                                       {"adaptive", adaptive},
                                       {"robust", robust},
                                       {"robust_errorcheck", robust_errorcheck},
                                       {"robust_recursive", robust_recursive},
                                       {"robust_pi", robust_pi},
                                       {"robust_waiters", robust_waiters},
                                       {"pi", pi},
                                       {"pp", pp},
                                       {"between_processes", between_processes},
                                       {"destroyed_and_reused", destroyed_and_reused},
                                       {"freed_by_the_last_user", freed_by_the_last_user},
                                       {"spin_locks", spin_locks},
                                       {"c11_mutexes", c11_mutexes},
                                       {0}};
    return rules_main(argc, argv, list);
}
