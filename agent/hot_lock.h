#pragma once
/*
 * HOT. Everything that runs in the host's lock and unlock when nobody waits. To lock: one pointer,
 * one byte, one branch to the real function (a single thread, or nothing to profile), else the real
 * trylock. To unlock: one flag, one branch.
 */
#include <stdatomic.h>
#include <stdbool.h>

#include "agent/lock_kinds.h"

struct hot_lock {
    /* libc's byte that is not zero while there is one thread; or a byte that is never zero: before
     * the start, and when neither mutex nor block is on. */
    _Alignas(64) const char *alone;
    /* Somebody has waited, since the process began. Written once: a count of who waits now would be
     * a cache line that every wait takes away from all who lock and unlock. */
    atomic_bool waited[FAMILY_COUNT];
};

extern struct hot_lock hot_lock;

static inline bool hot_lock_alone(void) {
    return *__atomic_load_n(&hot_lock.alone, __ATOMIC_RELAXED) != 0;
}

static inline bool hot_lock_waited_for(enum lock_family f) {
    return __builtin_expect(atomic_load_explicit(&hot_lock.waited[f], memory_order_relaxed), 0);
}
