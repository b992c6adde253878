#pragma once
/*
 * ANYWHERE. Who is charged for a wait: the one who held the lock, at the moment of letting go.
 *
 * Each lock that somebody waits for has an entry {n, sum_from, last}. A waiter's time counts from
 * `from`, the later of its arrival and the last release; sum_from is the sum of these. A release at
 * T is charged for what all n waited since:
 *
 *     charged = n * T - sum_from,   then sum_from = n * T
 *
 * exact, whatever n, in constant time. A waiter that gets the lock takes its own from away again;
 * what lies between the last release and its return is wake-up latency and nobody's fault, neither
 * for itself nor for those who go on waiting: nobody held the lock. (Who took it meanwhile without
 * waiting and gave it back did so while the waiter was on its way.) Hence
 *
 *     sum of charged + sum of latency = sum of waited
 *
 * Arithmetic is modulo 2^64, which every true difference fits in. Times are given by the caller.
 *
 * Locks: a spin in each bucket (spin.h).
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"

enum { WAITERS_BUCKETS = 512, WAITERS_WAYS = 4 };

struct waiters_entry {
    const void *lock; /* NULL: free */
    uint32_t n;       /* who waits */
    uint64_t sum_from;
    uint64_t last;   /* hand-over, 0: none since the first waiter came */
    uint64_t newest; /* time seen here: two threads' clock readings may arrive in either order */
};

struct waiters_bucket {
    _Alignas(ARENA_LINE) atomic_uint spin;
    atomic_uint n; /* waiters in all entries: zero is answered without the spin */
    struct waiters_entry at[WAITERS_WAYS];
};

struct waiters {
    struct waiters_bucket buckets[WAITERS_BUCKETS];
};

/* False: nobody waits for the lock. One load. */
bool waiters_maybe(struct waiters *w, const void *lock);
/* The lock is about to be let go of: its cache line can come while the clock is read. */
void waiters_fetch(struct waiters *w, const void *lock);
/* A waiter arrives. *ret_from becomes the time that it counts from (now, or a little later). False:
 * no room, this wait is not accounted for. */
bool waiters_enter(struct waiters *w, const void *lock, uint64_t now, uint64_t *ret_from);
/* n threads that a condition variable let go of wait for the lock from *inout_now on, which may
 * become a little later. */
bool waiters_enter_signaled(struct waiters *w, const void *lock, uint64_t *inout_now, uint32_t n);
/* The holder lets go: what its holding cost the others; 0 if nobody waits. */
uint64_t waiters_release(struct waiters *w, const void *lock, uint64_t now);
/* The waiter that counts from `from` stops waiting at *inout_now, which may become a little later.
 * The part of its wait that nobody was charged for; granted: it has the lock now, so for the
 * others, too, the time since the last release was spent on nobody: that is added to
 * *inout_latency. */
uint64_t waiters_leave(struct waiters *w, const void *lock, uint64_t from, uint64_t *inout_now,
                       bool granted, uint64_t *inout_latency);
