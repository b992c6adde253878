/*
 * HOT; the functions in COLD are where somebody waits. Doors of semaphores, spin locks and
 * barriers.
 *
 * A semaphore has no holder; whoever posts is charged, for a semaphore may be a lock (PostgreSQL's
 * are). Of a barrier everybody waits for everybody: only the block profile shows it.
 */
#include <semaphore.h>

#include "preload/lock.h"

/* errno tells a wait that ended from a call that was wrong. */
static int how_sem(int r) {
    if (r == 0)
        return LOCK_DONE;
    return errno == ETIMEDOUT || errno == EINTR ? LOCK_TIMEOUT : LOCK_NOT_WAITED;
}

/* A cancellation that is pending acts before the semaphore is taken, as in libc. EAGAIN of the
 * try is not for the host's errno. */
static bool sem_taken(sem_t *s) {
    int before = errno;
    pthread_testcancel();
    bool taken = real.sem_trywait(s) == 0;
    errno = before;
    return taken;
}

static COLD int sem_wait_slow(sem_t *s) {
    return LOCK_WAIT_CANCELLABLE(LOCK_SEM, s, 0, how_sem, real.sem_wait(s));
}

int sem_wait(sem_t *s) {
    if (!lock_on())
        return real.sem_wait(s);
    return sem_taken(s) ? 0 : sem_wait_slow(s);
}

static COLD int sem_timedwait_slow(sem_t *s, const struct timespec *until) {
    return LOCK_WAIT_CANCELLABLE(LOCK_SEM, s, 0, how_sem, real.sem_timedwait(s, until));
}

int sem_timedwait(sem_t *s, const struct timespec *until) {
    if (!lock_on() || !lock_deadline_ok(CLOCK_REALTIME, until))
        return real.sem_timedwait(s, until);
    return sem_taken(s) ? 0 : sem_timedwait_slow(s, until);
}

static COLD int sem_clockwait_slow(sem_t *s, clockid_t clock, const struct timespec *until) {
    return LOCK_WAIT_CANCELLABLE(LOCK_SEM, s, 0, how_sem, real.sem_clockwait(s, clock, until));
}

int sem_clockwait(sem_t *s, clockid_t clock, const struct timespec *until) {
    if (!lock_on() || !lock_deadline_ok(clock, until))
        return real.sem_clockwait(s, clock, until);
    return sem_taken(s) ? 0 : sem_clockwait_slow(s, clock, until);
}

static COLD int sem_post_slow(sem_t *s) {
    struct lock_charge c;
    bool due = lock_release(&c, LOCK_SEM, s);
    int r = real.sem_post(s);
    if (due && r == 0)
        lock_charge(&c);
    return r;
}

int sem_post(sem_t *s) {
    if (hot_lock_waited_for(FAMILY_SEM))
        return sem_post_slow(s);
    return real.sem_post(s);
}

static COLD int spin_lock_slow(pthread_spinlock_t *s) {
    return LOCK_WAIT(LOCK_SPIN, (const void *)s, 0, lock_how, real.pthread_spin_lock(s));
}

int pthread_spin_lock(pthread_spinlock_t *s) {
    if (hot_lock_alone())
        return real.pthread_spin_lock(s);
    int r = real.pthread_spin_trylock(s);
    return __builtin_expect(r == EBUSY, 0) ? spin_lock_slow(s) : r;
}

static COLD int spin_unlock_slow(pthread_spinlock_t *s) {
    struct lock_charge c;
    bool due = lock_release(&c, LOCK_SPIN, (const void *)s);
    int r = real.pthread_spin_unlock(s);
    if (due)
        lock_charge(&c);
    return r;
}

int pthread_spin_unlock(pthread_spinlock_t *s) {
    if (hot_lock_waited_for(FAMILY_SPIN))
        return spin_unlock_slow(s);
    return real.pthread_spin_unlock(s);
}

/* glibc gives this result to the last to come, who waited for nobody. */
static int how_barrier(int r) {
    return r == PTHREAD_BARRIER_SERIAL_THREAD ? LOCK_NOT_WAITED : lock_how(r);
}

int pthread_barrier_wait(pthread_barrier_t *b) {
    return LOCK_WAIT(LOCK_BARRIER, b, 0, how_barrier, real.pthread_barrier_wait(b));
}
