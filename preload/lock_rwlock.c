/*
 * HOT; the functions in COLD are where somebody waits. Doors of read-write locks.
 *
 * Readers and writers wait in one entry: whoever lets go is charged for all of them since the last
 * release, so that several readers share the blame by slices of time.
 *
 * A reader looks at the lock's word instead of trying: glibc's tryrdlock is a loop of compare and
 * exchange, rdlock one addition, and among many readers the loop loses. Between the look and the
 * lock a writer may come in; that one wait of a few is not seen.
 */
#include "preload/lock.h"

enum { WRITE_PHASE = 1, WRITE_LOCKED = 2 };

static bool readers_may_pass(const pthread_rwlock_t *l) {
    return !(__atomic_load_n(&l->__data.__readers, __ATOMIC_RELAXED) &
             (WRITE_PHASE | WRITE_LOCKED));
}

/* A writer's tid; readers leave no names. */
static int32_t writer_of(const pthread_rwlock_t *l) {
    return __atomic_load_n(&l->__data.__cur_writer, __ATOMIC_RELAXED);
}

static COLD int rdlock_slow(pthread_rwlock_t *l) {
    return LOCK_WAIT(LOCK_RWLOCK_READ, l, writer_of(l), lock_how, real.pthread_rwlock_rdlock(l));
}

int pthread_rwlock_rdlock(pthread_rwlock_t *l) {
    if (hot_lock_alone() || readers_may_pass(l))
        return real.pthread_rwlock_rdlock(l);
    int r = real.pthread_rwlock_tryrdlock(l);
    return r == EBUSY ? rdlock_slow(l) : r;
}

static COLD int timedrdlock_slow(pthread_rwlock_t *l, const struct timespec *until) {
    return LOCK_WAIT(LOCK_RWLOCK_READ, l, writer_of(l), lock_how,
                     real.pthread_rwlock_timedrdlock(l, until));
}

int pthread_rwlock_timedrdlock(pthread_rwlock_t *l, const struct timespec *until) {
    if (!lock_on() || readers_may_pass(l) || !lock_deadline_ok(CLOCK_REALTIME, until))
        return real.pthread_rwlock_timedrdlock(l, until);
    int r = real.pthread_rwlock_tryrdlock(l);
    return r == EBUSY ? timedrdlock_slow(l, until) : r;
}

static COLD int clockrdlock_slow(pthread_rwlock_t *l, clockid_t clock,
                                 const struct timespec *until) {
    return LOCK_WAIT(LOCK_RWLOCK_READ, l, writer_of(l), lock_how,
                     real.pthread_rwlock_clockrdlock(l, clock, until));
}

int pthread_rwlock_clockrdlock(pthread_rwlock_t *l, clockid_t clock, const struct timespec *until) {
    if (!lock_on() || readers_may_pass(l) || !lock_deadline_ok(clock, until))
        return real.pthread_rwlock_clockrdlock(l, clock, until);
    int r = real.pthread_rwlock_tryrdlock(l);
    return r == EBUSY ? clockrdlock_slow(l, clock, until) : r;
}

static COLD int wrlock_slow(pthread_rwlock_t *l) {
    return LOCK_WAIT(LOCK_RWLOCK_WRITE, l, writer_of(l), lock_how, real.pthread_rwlock_wrlock(l));
}

int pthread_rwlock_wrlock(pthread_rwlock_t *l) {
    if (hot_lock_alone())
        return real.pthread_rwlock_wrlock(l);
    int r = real.pthread_rwlock_trywrlock(l);
    return __builtin_expect(r == EBUSY, 0) ? wrlock_slow(l) : r;
}

static COLD int timedwrlock_slow(pthread_rwlock_t *l, const struct timespec *until) {
    return LOCK_WAIT(LOCK_RWLOCK_WRITE, l, writer_of(l), lock_how,
                     real.pthread_rwlock_timedwrlock(l, until));
}

int pthread_rwlock_timedwrlock(pthread_rwlock_t *l, const struct timespec *until) {
    if (!lock_on() || !lock_deadline_ok(CLOCK_REALTIME, until))
        return real.pthread_rwlock_timedwrlock(l, until);
    int r = real.pthread_rwlock_trywrlock(l);
    return r == EBUSY ? timedwrlock_slow(l, until) : r;
}

static COLD int clockwrlock_slow(pthread_rwlock_t *l, clockid_t clock,
                                 const struct timespec *until) {
    return LOCK_WAIT(LOCK_RWLOCK_WRITE, l, writer_of(l), lock_how,
                     real.pthread_rwlock_clockwrlock(l, clock, until));
}

int pthread_rwlock_clockwrlock(pthread_rwlock_t *l, clockid_t clock, const struct timespec *until) {
    if (!lock_on() || !lock_deadline_ok(clock, until))
        return real.pthread_rwlock_clockwrlock(l, clock, until);
    int r = real.pthread_rwlock_trywrlock(l);
    return r == EBUSY ? clockwrlock_slow(l, clock, until) : r;
}

static COLD int unlock_slow(pthread_rwlock_t *l) {
    struct lock_charge c;
    enum lock_kind held = writer_of(l) ? LOCK_RWLOCK_WRITE : LOCK_RWLOCK_READ;
    bool due = lock_release(&c, held, l);
    int r = real.pthread_rwlock_unlock(l);
    if (due && r == 0)
        lock_charge(&c);
    return r;
}

int pthread_rwlock_unlock(pthread_rwlock_t *l) {
    if (hot_lock_waited_for(FAMILY_RWLOCK))
        return unlock_slow(l);
    return real.pthread_rwlock_unlock(l);
}
