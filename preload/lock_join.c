/*
 * HOT. Doors of waits for another thread's work: join, and once while somebody else is at it. Only
 * the block profile shows them.
 */
#include "agent/thread.h"
#include "preload/lock.h"

int pthread_join(pthread_t t, void **ret_result) {
    return LOCK_WAIT_CANCELLABLE(LOCK_JOIN, (const void *)t, thread_tid_of(t), lock_how,
                                 real.pthread_join(t, ret_result));
}

int pthread_timedjoin_np(pthread_t t, void **ret_result, const struct timespec *until) {
    return LOCK_WAIT_CANCELLABLE(LOCK_JOIN, (const void *)t, thread_tid_of(t), lock_how,
                                 real.pthread_timedjoin_np(t, ret_result, until));
}

int pthread_clockjoin_np(pthread_t t, void **ret_result, clockid_t clock,
                         const struct timespec *until) {
    return LOCK_WAIT_CANCELLABLE(LOCK_JOIN, (const void *)t, thread_tid_of(t), lock_how,
                                 real.pthread_clockjoin_np(t, ret_result, clock, until));
}

int thrd_join(thrd_t t, int *ret_result) {
    return LOCK_WAIT_CANCELLABLE(LOCK_JOIN, (const void *)t, thread_tid_of(t), lock_how_c11,
                                 real.thrd_join(t, ret_result));
}

/*
 * Who comes first runs init and waits for nobody; who comes while it runs waits. glibc keeps the
 * state in the word: bit 1 is set when it is done, bit 0 while somebody is at it. init may throw; a
 * wait that became a run then and left by the exception is noticed at the thread's next wait.
 */
enum { ONCE_AT_IT = 1, ONCE_DONE = 2 };

static bool somebody_at_it(const void *once) {
    int word = __atomic_load_n((const int *)once, __ATOMIC_ACQUIRE);
    return (word & (ONCE_AT_IT | ONCE_DONE)) == ONCE_AT_IT;
}

static COLD int once_slow(pthread_once_t *once, void (*init)(void)) {
    return LOCK_WAIT_CANCELLABLE(LOCK_ONCE, once, 0, lock_how, real.pthread_once(once, init));
}

int pthread_once(pthread_once_t *once, void (*init)(void)) {
    if (__builtin_expect(somebody_at_it(once), 0))
        return once_slow(once, init);
    return real.pthread_once(once, init);
}

static int call_once_and_return(once_flag *once, void (*init)(void)) {
    real.call_once(once, init);
    return 0;
}

static COLD void call_once_slow(once_flag *once, void (*init)(void)) {
    LOCK_WAIT_CANCELLABLE(LOCK_ONCE, once, 0, lock_how, call_once_and_return(once, init));
}

void call_once(once_flag *once, void (*init)(void)) {
    if (__builtin_expect(somebody_at_it(once), 0))
        call_once_slow(once, init);
    else
        real.call_once(once, init);
}
