#pragma once
/*
 * ANYWHERE. What waiting for locks cost, over the life of the process:
 *
 *     waited = charged + wakeup + abandoned
 *
 * Each thread counts in its own slot, which outlives it: four sums for the whole process would be a
 * cache line that every waiter takes away from every holder.
 */
#include <stdatomic.h>
#include <stdint.h>

enum lock_total {
    TOTAL_WAITED,
    TOTAL_CHARGED,   /* to who held it */
    TOTAL_WAKEUP,    /* between a release and the waiter's return */
    TOTAL_ABANDONED, /* of waits that ended without the lock */
    LOCK_TOTAL_COUNT
};

/* Valid when zero. */
struct lock_totals {
    atomic_uint_fast64_t ns[LOCK_TOTAL_COUNT];
};

/* Of this thread. The caller is busy. */
void lock_total_add(enum lock_total which, uint64_t ns);
/* Of all threads that there ever were. */
uint64_t lock_total_sum(enum lock_total which);
/* In a fork child. */
void lock_total_reset(void);
