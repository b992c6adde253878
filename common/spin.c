#include "common/spin.h"

#include "common/sys.h"

enum { PAUSES = 100, YIELDS = 200 };

/* The first turn does not look: that would bring the cache line twice. */
bool spin_lock(_Atomic uint32_t *lock, unsigned turns) {
    for (unsigned turn = 0; turn < turns; turn++) {
        if ((!turn || !atomic_load_explicit(lock, memory_order_relaxed)) &&
            !atomic_exchange_explicit(lock, 1, memory_order_acquire))
            return true;
        if (turn < PAUSES)
            sys_pause();
        else if (turn < YIELDS)
            sys_yield();
        else /* a realtime thread that only yields never lets the owner run */
            sys_call_2(SYS_nanosleep, (&(struct timespec){0, 50000}), NULL);
    }
    return false;
}
