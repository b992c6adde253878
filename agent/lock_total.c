/* ANYWHERE. */
#include "agent/lock_total.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/self.h"
#include "agent/thread.h"

static struct lock_totals strays; /* of threads that have no slot */

void lock_total_add(enum lock_total which, uint64_t ns) {
    if (!self.thread) {
        atomic_fetch_add_explicit(&strays.ns[which], ns, memory_order_relaxed);
        return;
    }
    atomic_uint_fast64_t *mine = &self.thread->lock_totals.ns[which];
    atomic_store_explicit(mine, atomic_load_explicit(mine, memory_order_relaxed) + ns,
                          memory_order_relaxed);
}

uint64_t lock_total_sum(enum lock_total which) {
    uint64_t sum = atomic_load_explicit(&strays.ns[which], memory_order_relaxed);
    for (unsigned i = 0; i < thread_slots(&agent.threads); i++) {
        struct thread *t = thread_at(i);
        if (t)
            sum += atomic_load_explicit(&t->lock_totals.ns[which], memory_order_relaxed);
    }
    return sum;
}

/* The slots of the parent's threads are gone by themselves. */
void lock_total_reset(void) { memset(&strays, 0, sizeof strays); }
