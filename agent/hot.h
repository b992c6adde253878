#pragma once
/*
 * HOT. Everything that runs in the host's malloc and free when nothing is sampled. A door asks one
 * question here and then jumps to the real function. "Not resolved yet", "a thread we have not
 * met", "inside the agent" and "time to sample" are one and the same branch: a countdown that
 * starts at zero.
 */
#include <stddef.h>

#include "agent/filter.h"
#include "agent/self.h"
#include "common/sys.h"

/*
 * Counts size + 1 bytes down: the 1 makes malloc(0) countable. True when the countdown ran out.
 * Cost: one read-modify-write of TLS and one branch on its carry, 0.3 ns. The comparison is
 * unsigned, so a size beyond PTRDIFF_MAX (which no allocator serves) ends the countdown instead of
 * wrapping it round to "never".
 */
static inline bool hot_malloc_due(size_t size) {
    return __builtin_expect(sys_count_down((uint64_t *)&self.left_bytes, size), 0);
}

/* True when p may be one of ours. Cost: a shift, a load that hits L1 or L2, a branch: 0.3 ns. */
static inline bool hot_free_due(const void *p) { return __builtin_expect(filter_maybe(p), 0); }

/* After the countdown ran out: true inside the agent, whose memory is the pool, and the countdown
 * stays at zero. Otherwise heap_due() (agent/heap.h) says what it means and begins the next one. */
static inline bool hot_in_agent(void) {
    if (!self.busy)
        return false;
    self.left_bytes = 0;
    return true;
}
