#pragma once
/*
 * ANYWHERE. What the doors of locks do when a thread really waits, or lets go of what others wait
 * for. Around each call that blocks:
 *
 *     struct lock_wait w;
 *     if (!lock_wait_begin(&w, LOCK_MUTEX, m, owner)) -> the real function alone
 *     r = the real function
 *     lock_wait_end(&w, how it ended)
 *
 * and around each call that lets go, when hot_lock_waited_for() its family:
 *
 *     struct lock_charge c;
 *     bool due = lock_release(&c, LOCK_MUTEX, m);
 *     r = the real function
 *     if (due) lock_charge(&c);
 *
 * The stack of a waiter is walked after its wait, the stack of a holder after it let go, and only
 * if it became a sample. Inside the agent all of this steps aside.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/conds.h"
#include "agent/grid.h"
#include "agent/hot_lock.h"
#include "agent/lock_slot.h"
#include "agent/self.h"
#include "agent/waiters.h"
#include "common/sys.h"

struct thread;

struct locks {
    atomic_bool mutex_on, block_on;
    atomic_uint epoch; /* grows in each fork child: waits begun before it are not ours to end */
    struct waiters *_Atomic waiters; /* made with the first wait */
    struct conds *_Atomic conds;
    struct grid_pace mutex_pace, block_pace;
};

extern struct locks locks;

struct lock_wait {
    struct lock_wait_info info, outer;
    struct thread *thread; /* whose slot shows it, or NULL */
    uint64_t from_ns;
    unsigned epoch;
    bool tabled;       /* in the waiters' table, or that of the conditions */
    const void *mutex; /* of a condition */
    ucontext_t context;
};

/* A wait that ended in neither way: an error that is no waiting at all (EDEADLK, EINVAL). */
enum { LOCK_NOT_WAITED = LOCK_STATE_COUNT };

static inline bool lock_on(void) {
    return atomic_load_explicit(&locks.mutex_on, memory_order_relaxed) ||
           atomic_load_explicit(&locks.block_on, memory_order_relaxed);
}

void lock_wait_enter(struct lock_wait *w, enum lock_kind kind, const void *object, int32_t owner);
/* In the frame of the door, which lives as long as the wait. */
static inline __attribute__((always_inline)) bool
lock_wait_begin(struct lock_wait *w, enum lock_kind kind, const void *object, int32_t owner) {
    if (self.busy || !lock_on())
        return false;
    sys_context_here(&w->context);
    lock_wait_enter(w, kind, object, owner);
    return true;
}
/* how: LOCK_DONE, LOCK_TIMEOUT or LOCK_NOT_WAITED. Also for lock_cond_begin(). */
void lock_wait_end(struct lock_wait *w, int how);
/* The same by the result of a pthread function. EOWNERDEAD is a lock acquired. */
int lock_how(int err);

struct lock_charge {
    enum lock_kind kind;
    const void *object;
    struct grid_hit hit;
};

/* Somebody waits for it, or for a neighbour in the table. A mutex asks it of its own word first. */
bool lock_is_waited_for(const void *object);
/* In front of letting go. True: it is a sample, for lock_charge() afterwards. */
bool lock_release(struct lock_charge *c, enum lock_kind kind, const void *object);
/* After it: the caller's stack is what the others waited for. */
void lock_charge(const struct lock_charge *c);

/*
 * Conditions. The wait lets go of the mutex, which costs others as an unlock does; its stack is
 * taken in front of the wait, because it may last: with the mutex still held, but once for each
 * period of waiting, so that waits grow by a hundredth at most. sleepers: by the mutex's own word
 * somebody waits for it.
 */
void lock_cond_enter(struct lock_wait *w, const void *cond, const void *mutex, bool sleepers);
static inline __attribute__((always_inline)) bool
lock_cond_begin(struct lock_wait *w, const void *cond, const void *mutex, bool sleepers) {
    if (self.busy || !lock_on())
        return false;
    sys_context_here(&w->context);
    lock_cond_enter(w, cond, mutex, sleepers);
    return true;
}
/* In front of a signal (all: a broadcast), when somebody waits for a condition. */
void lock_signal(const void *cond, bool all);

/* For the kinds (kind_lock.c). Either may be started alone. */
void lock_start(void);
void lock_stop(void);
/* In a fork child: nobody waits. Calling twice is fine. */
void lock_reset(void);
