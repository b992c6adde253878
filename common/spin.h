#pragma once
/*
 * A lock for a few instructions, without libc. It gives up: its owner may have stayed behind in the
 * parent of a raw clone(), or be this very thread, interrupted by a handler of the host.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Turns: 3 to 9 s, on one busy CPU up to 44 s; or as long as another thread needs that is running,
 * and no longer. */
enum { SPIN_PATIENCE = 40000, SPIN_NESTED = 150 };

/* Takes the lock, or returns false after that many turns. */
bool spin_lock(_Atomic uint32_t *lock, unsigned turns);
static inline void spin_unlock(_Atomic uint32_t *lock) {
    atomic_store_explicit(lock, 0, memory_order_release);
}
