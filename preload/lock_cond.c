/*
 * HOT. Doors of condition variables, POSIX and C11, which are one thing in glibc. libc lets go of
 * the mutex and takes it again inside of one call; agent/conds.h says how the two halves of the
 * wait are told apart.
 */
#include "preload/lock.h"

int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m) {
    return LOCK_WAIT_COND(c, m, lock_how, real.pthread_cond_wait(c, m));
}

int pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *until) {
    return LOCK_WAIT_COND(c, m, lock_how, real.pthread_cond_timedwait(c, m, until));
}

int pthread_cond_clockwait(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock,
                           const struct timespec *until) {
    return LOCK_WAIT_COND(c, m, lock_how, real.pthread_cond_clockwait(c, m, clock, until));
}

int cnd_wait(cnd_t *c, mtx_t *m) {
    pthread_mutex_t *pm = (pthread_mutex_t *)m;
    return LOCK_WAIT_COND(c, pm, lock_how_c11, real.cnd_wait(c, m));
}

int cnd_timedwait(cnd_t *c, mtx_t *m, const struct timespec *until) {
    pthread_mutex_t *pm = (pthread_mutex_t *)m;
    return LOCK_WAIT_COND(c, pm, lock_how_c11, real.cnd_timedwait(c, m, until));
}

int pthread_cond_signal(pthread_cond_t *c) {
    if (hot_lock_waited_for(FAMILY_COND))
        lock_signal(c, false);
    return real.pthread_cond_signal(c);
}

int pthread_cond_broadcast(pthread_cond_t *c) {
    if (hot_lock_waited_for(FAMILY_COND))
        lock_signal(c, true);
    return real.pthread_cond_broadcast(c);
}

int cnd_signal(cnd_t *c) {
    if (hot_lock_waited_for(FAMILY_COND))
        lock_signal(c, false);
    return real.cnd_signal(c);
}

int cnd_broadcast(cnd_t *c) {
    if (hot_lock_waited_for(FAMILY_COND))
        lock_signal(c, true);
    return real.cnd_broadcast(c);
}
