#pragma once
/* HOT. What the doors of locks have in common. */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <threads.h>
#include <time.h>

#include "agent/lock.h"
#include "preload/real.h"

/* libc checks a deadline before it looks at the lock, POSIX lets it check after: a call with one
 * that is wrong goes to libc as it is. */
static inline bool lock_deadline_ok(clockid_t clock, const struct timespec *until) {
    return (clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC) && until->tv_nsec >= 0 &&
           until->tv_nsec < 1000000000;
}

/* The value of call, a wait for object; how(value) says how it ended. */
#define LOCK_WAIT(kind, object, owner, how, call)                         \
    ({                                                                    \
        struct lock_wait wait_;                                           \
        bool shown_ = lock_wait_begin(&wait_, (kind), (object), (owner)); \
        __typeof__(call) value_ = (call);                                 \
        if (shown_)                                                       \
            lock_wait_end(&wait_, how(value_));                           \
        value_;                                                           \
    })

/*
 * The same for a cancellation point. Why glibc's old hook and not __attribute__((cleanup)): that
 * one needs a personality routine from libgcc_s.so.1, a second library in everybody's symbol scope.
 * This is a push on a list of the thread, which every cancellation and pthread_exit runs down to
 * the frame it has come to.
 */
extern void _pthread_cleanup_push(struct _pthread_cleanup_buffer *b, void (*fn)(void *), void *arg);
extern void _pthread_cleanup_pop(struct _pthread_cleanup_buffer *b, int execute);

static inline void lock_wait_cancelled(void *w) { lock_wait_end(w, LOCK_NOT_WAITED); }

#define LOCK_CALL_CANCELLABLE(begin, how, call)                           \
    ({                                                                    \
        struct lock_wait wait_;                                           \
        struct _pthread_cleanup_buffer buffer_;                           \
        bool shown_ = (begin);                                            \
        if (shown_)                                                       \
            _pthread_cleanup_push(&buffer_, lock_wait_cancelled, &wait_); \
        __typeof__(call) value_ = (call);                                 \
        if (shown_) {                                                     \
            _pthread_cleanup_pop(&buffer_, 0);                            \
            lock_wait_end(&wait_, how(value_));                           \
        }                                                                 \
        value_;                                                           \
    })
#define LOCK_WAIT_CANCELLABLE(kind, object, owner, how, call) \
    LOCK_CALL_CANCELLABLE(lock_wait_begin(&wait_, (kind), (object), (owner)), how, call)
#define LOCK_WAIT_COND(cond, mutex, how, call)                                                 \
    LOCK_CALL_CANCELLABLE(lock_cond_begin(&wait_, (cond), (mutex), mutex_has_sleepers(mutex)), \
                          how, call)

/* The result of a C11 function. */
static inline int lock_how_c11(int r) {
    return r == thrd_success ? LOCK_DONE : r == thrd_timedout ? LOCK_TIMEOUT : LOCK_NOT_WAITED;
}

/* glibc's mutexes. The tid of the holder, for all kinds but elided ones. */
static inline int32_t mutex_owner(const pthread_mutex_t *m) {
    return __atomic_load_n(&m->__data.__owner, __ATOMIC_RELAXED);
}
/*
 * The word says whether anybody sleeps on the mutex. If not, who waits was woken and is on its way,
 * and this unlock delays nobody: no clock is read. A thread that takes and gives the lock a million
 * times while a woken one waits for a processor would otherwise pay for it each time. Waiters of an
 * adaptive mutex spin at first and leave no mark, and the word of one with a priority ceiling says
 * more: there the table is asked.
 */
enum { MUTEX_ADAPTIVE = 3, MUTEX_ROBUST = 16, MUTEX_INHERIT = 32 };
static inline unsigned mutex_word(const pthread_mutex_t *m) {
    return (unsigned)__atomic_load_n(&m->__data.__lock, __ATOMIC_RELAXED);
}
/* For the fast path: false if it has none, true if that takes another look. */
static inline bool mutex_may_have_sleepers(const pthread_mutex_t *m) {
    return __builtin_expect(mutex_word(m) != 1 || (m->__data.__kind & 3) == MUTEX_ADAPTIVE, 0);
}
static inline bool mutex_has_sleepers(const pthread_mutex_t *m) {
    unsigned word = mutex_word(m);
    int kind = m->__data.__kind;
    if (kind & (MUTEX_ROBUST | MUTEX_INHERIT))
        return word >> 31;
    return word == 2 || (mutex_may_have_sleepers(m) && lock_is_waited_for(m));
}
