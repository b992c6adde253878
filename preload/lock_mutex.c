/*
 * HOT; the functions in COLD are where somebody waits. Doors of pthread mutexes.
 *
 * Only EBUSY of trylock means that the lock is held: EOWNERDEAD is a robust lock acquired, and to
 * lock again would wait for ourselves. EBUSY may also be an error-checking mutex that its own
 * holder locks again: the real lock knows, and says EDEADLK.
 */
#include <errno.h>

#include "preload/lock.h"

enum { RECURSIVE = 1 };

/* glibc keeps the holder's tid for all kinds (elided ones apart). */
static int32_t owner_of(const pthread_mutex_t *m) {
    return __atomic_load_n(&m->__data.__owner, __ATOMIC_RELAXED);
}

/* A recursive mutex stays locked but for the outermost unlock. */
static bool stays_locked(const pthread_mutex_t *m) {
    return (m->__data.__kind & 3) == RECURSIVE && m->__data.__count > 1;
}

static COLD int lock_slow(pthread_mutex_t *m) {
    struct lock_wait w;
    if (!lock_wait_begin(&w, LOCK_MUTEX, m, owner_of(m)))
        return real.pthread_mutex_lock(m);
    int r = real.pthread_mutex_lock(m);
    lock_wait_end(&w, lock_how(r));
    return r;
}

int pthread_mutex_lock(pthread_mutex_t *m) {
    if (hot_lock_alone())
        return real.pthread_mutex_lock(m);
    int r = real.pthread_mutex_trylock(m);
    return __builtin_expect(r == EBUSY, 0) ? lock_slow(m) : r;
}

static COLD int timedlock_slow(pthread_mutex_t *m, const struct timespec *until) {
    struct lock_wait w;
    if (!lock_wait_begin(&w, LOCK_MUTEX, m, owner_of(m)))
        return real.pthread_mutex_timedlock(m, until);
    int r = real.pthread_mutex_timedlock(m, until);
    lock_wait_end(&w, lock_how(r));
    return r;
}

int pthread_mutex_timedlock(pthread_mutex_t *m, const struct timespec *until) {
    if (hot_lock_alone() || !lock_deadline_ok(CLOCK_REALTIME, until))
        return real.pthread_mutex_timedlock(m, until);
    int r = real.pthread_mutex_trylock(m);
    return __builtin_expect(r == EBUSY, 0) ? timedlock_slow(m, until) : r;
}

static COLD int clocklock_slow(pthread_mutex_t *m, clockid_t clock, const struct timespec *until) {
    struct lock_wait w;
    if (!lock_wait_begin(&w, LOCK_MUTEX, m, owner_of(m)))
        return real.pthread_mutex_clocklock(m, clock, until);
    int r = real.pthread_mutex_clocklock(m, clock, until);
    lock_wait_end(&w, lock_how(r));
    return r;
}

int pthread_mutex_clocklock(pthread_mutex_t *m, clockid_t clock, const struct timespec *until) {
    if (hot_lock_alone() || !lock_deadline_ok(clock, until))
        return real.pthread_mutex_clocklock(m, clock, until);
    int r = real.pthread_mutex_trylock(m);
    return __builtin_expect(r == EBUSY, 0) ? clocklock_slow(m, clock, until) : r;
}

/* After the real unlock the mutex may be gone. */
static COLD int unlock_slow(pthread_mutex_t *m) {
    struct lock_charge c;
    bool due = !stays_locked(m) && lock_release(&c, LOCK_MUTEX, m, m->__data.__lock == 1);
    int r = real.pthread_mutex_unlock(m);
    if (due && r == 0)
        lock_charge(&c);
    return r;
}

int pthread_mutex_unlock(pthread_mutex_t *m) {
    if (hot_lock_waited_for(FAMILY_MUTEX))
        return unlock_slow(m);
    return real.pthread_mutex_unlock(m);
}
