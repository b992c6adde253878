#pragma once
/*
 * HOT. Everything that runs in the host's lock and unlock when nobody waits. To lock: one pointer,
 * one byte, one branch to the real function (a single thread, or nothing to profile), else the real
 * trylock. To unlock: one counter, one branch.
 */
#include <stdatomic.h>
#include <stdbool.h>

#include "agent/lock_kinds.h"

struct hot_lock {
    /* libc's byte that is not zero while there is one thread; or a byte that is never zero: before
     * the start, and when neither mutex nor block is on. */
    const char *alone;
    atomic_uint waiting[FAMILY_COUNT]; /* threads that wait now, in the whole process */
};

extern struct hot_lock hot_lock;

static inline bool hot_lock_alone(void) {
    return *__atomic_load_n(&hot_lock.alone, __ATOMIC_RELAXED) != 0;
}

static inline bool hot_lock_waited_for(enum lock_family f) {
    return __builtin_expect(atomic_load_explicit(&hot_lock.waiting[f], memory_order_relaxed) != 0,
                            0);
}
