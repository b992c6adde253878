/*
 * HOT; the functions in COLD are where somebody waits. Doors of mutexes, POSIX and C11, which are
 * one thing in glibc.
 *
 * Only EBUSY of trylock means that the lock is held: EOWNERDEAD is a robust lock acquired, and to
 * lock again would wait for ourselves. EBUSY may also be an error-checking mutex that its own
 * holder locks again: the real lock knows, and says EDEADLK.
 *
 * A robust mutex is never tried: glibc's trylock of one that cannot be recovered says so and keeps
 * it locked (2.36: it asks for the wrong word before it unlocks), so that the next one who locks it
 * would wait for ever.
 */
#include "preload/lock.h"

enum { RECURSIVE = 1 };

static COLD int lock_slow(pthread_mutex_t *m) {
    return LOCK_WAIT(LOCK_MUTEX, m, mutex_owner(m), lock_how, real.pthread_mutex_lock(m));
}

static bool is_robust(const pthread_mutex_t *m) { return m->__data.__kind & MUTEX_ROBUST; }

/* Free, by its word: a look, where others try. */
static COLD int lock_robust(pthread_mutex_t *m) {
    return mutex_word(m) == 0 ? real.pthread_mutex_lock(m) : lock_slow(m);
}

FAST int pthread_mutex_lock(pthread_mutex_t *m) {
    if (hot_lock_alone())
        return real.pthread_mutex_lock(m);
    if (__builtin_expect(is_robust(m), 0))
        return lock_robust(m);
    int r = real.pthread_mutex_trylock(m);
    return __builtin_expect(r == EBUSY, 0) ? lock_slow(m) : r;
}

static COLD int timedlock_slow(pthread_mutex_t *m, const struct timespec *until) {
    return LOCK_WAIT(LOCK_MUTEX, m, mutex_owner(m), lock_how,
                     real.pthread_mutex_timedlock(m, until));
}

int pthread_mutex_timedlock(pthread_mutex_t *m, const struct timespec *until) {
    if (!lock_on() || !lock_deadline_ok(CLOCK_REALTIME, until))
        return real.pthread_mutex_timedlock(m, until);
    int r = is_robust(m) ? EBUSY : real.pthread_mutex_trylock(m);
    return __builtin_expect(r == EBUSY, 0) ? timedlock_slow(m, until) : r;
}

static COLD int clocklock_slow(pthread_mutex_t *m, clockid_t clock, const struct timespec *until) {
    return LOCK_WAIT(LOCK_MUTEX, m, mutex_owner(m), lock_how,
                     real.pthread_mutex_clocklock(m, clock, until));
}

int pthread_mutex_clocklock(pthread_mutex_t *m, clockid_t clock, const struct timespec *until) {
    if (!lock_on() || !lock_deadline_ok(clock, until))
        return real.pthread_mutex_clocklock(m, clock, until);
    int r = is_robust(m) ? EBUSY : real.pthread_mutex_trylock(m);
    return __builtin_expect(r == EBUSY, 0) ? clocklock_slow(m, clock, until) : r;
}

/* A recursive mutex stays locked but for the outermost unlock. */
static bool stays_locked(const pthread_mutex_t *m) {
    return (m->__data.__kind & 3) == RECURSIVE && m->__data.__count > 1;
}

static bool release(struct lock_charge *c, const pthread_mutex_t *m) {
    return mutex_has_sleepers(m) && !stays_locked(m) && lock_release(c, LOCK_MUTEX, m);
}

/* After the real unlock the mutex may be gone. */
static COLD int unlock_slow(pthread_mutex_t *m) {
    struct lock_charge c;
    bool due = release(&c, m);
    int r = real.pthread_mutex_unlock(m);
    if (due && r == 0)
        lock_charge(&c);
    return r;
}

FAST int pthread_mutex_unlock(pthread_mutex_t *m) {
    if (hot_lock_waited_for(FAMILY_MUTEX) && mutex_may_have_sleepers(m))
        return unlock_slow(m);
    return real.pthread_mutex_unlock(m);
}

/* C11. */

static COLD int mtx_lock_slow(mtx_t *m) {
    return LOCK_WAIT(LOCK_MUTEX, m, mutex_owner((pthread_mutex_t *)m), lock_how_c11,
                     real.mtx_lock(m));
}

int mtx_lock(mtx_t *m) {
    if (hot_lock_alone())
        return real.mtx_lock(m);
    int r = real.mtx_trylock(m);
    return __builtin_expect(r == thrd_busy, 0) ? mtx_lock_slow(m) : r;
}

static COLD int mtx_timedlock_slow(mtx_t *m, const struct timespec *until) {
    return LOCK_WAIT(LOCK_MUTEX, m, mutex_owner((pthread_mutex_t *)m), lock_how_c11,
                     real.mtx_timedlock(m, until));
}

int mtx_timedlock(mtx_t *m, const struct timespec *until) {
    if (!lock_on() || !lock_deadline_ok(CLOCK_REALTIME, until))
        return real.mtx_timedlock(m, until);
    int r = real.mtx_trylock(m);
    return __builtin_expect(r == thrd_busy, 0) ? mtx_timedlock_slow(m, until) : r;
}

static COLD int mtx_unlock_slow(mtx_t *m) {
    struct lock_charge c;
    bool due = release(&c, (pthread_mutex_t *)m);
    int r = real.mtx_unlock(m);
    if (due && r == thrd_success)
        lock_charge(&c);
    return r;
}

int mtx_unlock(mtx_t *m) {
    if (hot_lock_waited_for(FAMILY_MUTEX) && mutex_may_have_sleepers((pthread_mutex_t *)m))
        return mtx_unlock_slow(m);
    return real.mtx_unlock(m);
}
