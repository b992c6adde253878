#pragma once
/*
 * A lock with a queue, in the manner of Rust's parking_lot: every thread sleeps on a word of its
 * own, and an unlock wakes the one that came first. The word says nothing about the lock.
 */
#include <linux/futex.h>
#include <sched.h>

#include "host.h"

struct queue_place {
    uint32_t asleep; /* the word */
    struct queue_place *next;
};

struct queue {
    int guard; /* of the rest; held for moments */
    bool held;
    struct queue_place *first, **end;
};

static inline void queue_guard(struct queue *q) {
    while (__atomic_exchange_n(&q->guard, 1, __ATOMIC_ACQUIRE))
        sched_yield();
}
static inline void queue_unguard(struct queue *q) {
    __atomic_store_n(&q->guard, 0, __ATOMIC_RELEASE);
}

/* Takes the lock or the last place in the queue. */
static inline bool queue_try(struct queue *q, struct queue_place *me) {
    queue_guard(q);
    bool taken = !q->held;
    if (taken) {
        q->held = true;
    } else {
        *me = (struct queue_place){.asleep = 1};
        q->end = q->first ? q->end : &q->first;
        *q->end = me;
        q->end = &me->next;
    }
    queue_unguard(q);
    return taken;
}

static inline void queue_lock(struct queue *q) {
    static __thread struct queue_place me;
    while (!queue_try(q, &me))
        while (__atomic_load_n(&me.asleep, __ATOMIC_ACQUIRE))
            syscall(SYS_futex, &me.asleep, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
}

/* Who was woken may find the lock taken by another one. */
static inline void queue_unlock(struct queue *q) {
    queue_guard(q);
    struct queue_place *woken = q->first;
    q->held = false;
    if (woken)
        q->first = woken->next;
    queue_unguard(q);
    if (!woken)
        return;
    __atomic_store_n(&woken->asleep, 0, __ATOMIC_RELEASE);
    syscall(SYS_futex, &woken->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
