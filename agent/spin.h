#pragma once
/*
 * ANYWHERE. A lock for some twenty nanoseconds, taken only inside the agent, so that a signal
 * handler's own locks go past it. Nobody waits for one for ever: a child made by a bare clone may
 * find one that its holder did not survive.
 */
#include <stdatomic.h>
#include <stdbool.h>

#include "common/sys.h"

enum { SPIN_PAUSES = 200, SPIN_YIELDS = 2000 };

/* False: given up. */
static inline bool spin_take(atomic_uint *spin) {
    for (unsigned i = 0; i < SPIN_PAUSES + SPIN_YIELDS; i++) {
        if (atomic_load_explicit(spin, memory_order_relaxed) == 0 &&
            atomic_exchange_explicit(spin, 1, memory_order_acquire) == 0)
            return true;
        if (i < SPIN_PAUSES)
            sys_pause();
        else
            sys_yield();
    }
    return false;
}

static inline void spin_give(atomic_uint *spin) {
    atomic_store_explicit(spin, 0, memory_order_release);
}
