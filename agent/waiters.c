/*
 * ANYWHERE. Why a fixed table and not a list through the waiters: nodes would lie on their stacks,
 * and a host that leaves a wait by longjmp would leave us a pointer to nowhere. Here such a wait
 * leaves a number that is too large by one.
 */
#include "agent/waiters.h"

#include <stddef.h>

#include "common/hash.h"
#include "common/spin.h"

static struct waiters_bucket *bucket_of(struct waiters *w, const void *lock) {
    return &w->buckets[hash_mix((uintptr_t)lock) % WAITERS_BUCKETS];
}

void waiters_fetch(struct waiters *w, const void *lock) {
    __builtin_prefetch(bucket_of(w, lock), 1);
}

bool waiters_maybe(struct waiters *w, const void *lock) {
    return atomic_load_explicit(&bucket_of(w, lock)->n, memory_order_relaxed) != 0;
}

static struct waiters_entry *entry_find(struct waiters_bucket *b, const void *lock) {
    for (unsigned i = 0; i < WAITERS_WAYS; i++)
        if (b->at[i].lock == lock)
            return &b->at[i];
    return NULL;
}

static struct waiters_entry *entry_make(struct waiters_bucket *b, const void *lock) {
    struct waiters_entry *e = entry_find(b, lock);
    if (e || !(e = entry_find(b, NULL)))
        return e;
    *e = (struct waiters_entry){.lock = lock};
    return e;
}

/* Under the spin: who writes it is alone. */
static void count(struct waiters_bucket *b, uint32_t n) {
    atomic_store_explicit(&b->n, atomic_load_explicit(&b->n, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static uint64_t later(uint64_t a, uint64_t b) { return a > b ? a : b; }

static bool enter(struct waiters *w, const void *lock, uint32_t n, uint64_t *inout_from) {
    struct waiters_bucket *b = bucket_of(w, lock);
    if (!spin_lock(&b->spin, SPIN_PATIENCE))
        return false;
    struct waiters_entry *e = entry_make(b, lock);
    if (e) {
        *inout_from = later(*inout_from, e->last);
        e->newest = later(e->newest, *inout_from);
        e->sum_from += n * *inout_from;
        e->n += n;
        count(b, n);
    }
    spin_unlock(&b->spin);
    return e != NULL;
}

bool waiters_enter(struct waiters *w, const void *lock, uint64_t now, uint64_t *ret_from) {
    *ret_from = now;
    return enter(w, lock, 1, ret_from);
}

bool waiters_enter_signaled(struct waiters *w, const void *lock, uint64_t *inout_now, uint32_t n) {
    return enter(w, lock, n, inout_now);
}

/* All who wait now count from now on: what they waited so far. */
static uint64_t begin_anew(struct waiters_entry *e, uint64_t now) {
    now = later(now, e->newest);
    uint64_t so_far = e->n * now - e->sum_from;
    e->sum_from = e->n * now;
    e->last = e->newest = now;
    return so_far;
}

uint64_t waiters_release(struct waiters *w, const void *lock, uint64_t now) {
    struct waiters_bucket *b = bucket_of(w, lock);
    uint64_t charged = 0;
    if (!spin_lock(&b->spin, SPIN_PATIENCE))
        return 0;
    struct waiters_entry *e = entry_find(b, lock);
    if (e)
        charged = begin_anew(e, now);
    spin_unlock(&b->spin);
    return charged;
}

uint64_t waiters_leave(struct waiters *w, const void *lock, uint64_t from, uint64_t *inout_now,
                       bool granted, uint64_t *inout_latency) {
    struct waiters_bucket *b = bucket_of(w, lock);
    *inout_now = later(*inout_now, from);
    uint64_t rest = *inout_now - from;
    if (!spin_lock(&b->spin, SPIN_PATIENCE))
        return rest;
    struct waiters_entry *e = entry_find(b, lock);
    if (e) {
        from = later(from, e->last);
        *inout_now = later(*inout_now, from);
        rest = *inout_now - from;
        e->sum_from -= from;
        e->n--;
        if (e->n == 0)
            *e = (struct waiters_entry){0};
        else if (granted)
            *inout_latency += begin_anew(e, *inout_now);
        count(b, (uint32_t)-1);
    }
    spin_unlock(&b->spin);
    return rest;
}
