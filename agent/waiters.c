/*
 * ANYWHERE. Why a fixed table and not a list through the waiters: nodes would lie on their stacks,
 * and a host that leaves a wait by longjmp would leave us a pointer to nowhere. Here such a wait
 * leaves a number that is too large by one.
 */
#include "agent/waiters.h"

#include <stddef.h>

#include "common/hash.h"
#include "common/sys.h"

enum { SPINS = 200, YIELDS = 2000 };

static struct waiters_bucket *bucket_of(struct waiters *w, const void *lock) {
    return &w->buckets[hash_mix((uintptr_t)lock) % WAITERS_BUCKETS];
}

bool waiters_maybe(struct waiters *w, const void *lock) {
    return atomic_load_explicit(&bucket_of(w, lock)->n, memory_order_relaxed) != 0;
}

static bool spin_take(struct waiters_bucket *b) {
    for (unsigned i = 0; i < SPINS + YIELDS; i++) {
        if (atomic_load_explicit(&b->spin, memory_order_relaxed) == 0 &&
            atomic_exchange_explicit(&b->spin, 1, memory_order_acquire) == 0)
            return true;
        if (i < SPINS)
            sys_pause();
        else
            sys_yield();
    }
    return false;
}

static void spin_give(struct waiters_bucket *b) {
    atomic_store_explicit(&b->spin, 0, memory_order_release);
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

static uint64_t later(uint64_t a, uint64_t b) { return a > b ? a : b; }

static bool enter(struct waiters *w, const void *lock, uint32_t n, bool signaled,
                  uint64_t *inout_from) {
    struct waiters_bucket *b = bucket_of(w, lock);
    if (!spin_take(b))
        return false;
    struct waiters_entry *e = entry_make(b, lock);
    if (e) {
        *inout_from = later(*inout_from, e->last);
        e->newest = later(e->newest, *inout_from);
        e->sum_from += n * *inout_from;
        e->n += n;
        e->signaled += signaled ? n : 0;
        atomic_fetch_add(&b->n, n);
    }
    spin_give(b);
    return e != NULL;
}

bool waiters_enter(struct waiters *w, const void *lock, uint64_t now, uint64_t *ret_from) {
    *ret_from = now;
    return enter(w, lock, 1, false, ret_from);
}

bool waiters_enter_signaled(struct waiters *w, const void *lock, uint64_t now, uint32_t n) {
    return enter(w, lock, n, true, &now);
}

uint64_t waiters_release(struct waiters *w, const void *lock, uint64_t now, bool idle,
                         uint64_t *ret_skipped) {
    struct waiters_bucket *b = bucket_of(w, lock);
    uint64_t charged = 0;
    *ret_skipped = 0;
    if (!spin_take(b))
        return 0;
    struct waiters_entry *e = entry_find(b, lock);
    if (e) {
        now = later(now, e->newest);
        charged = e->n * now - e->sum_from;
        e->sum_from = e->n * now;
        e->last = e->newest = now;
        if (idle && e->signaled == e->n) {
            *ret_skipped = charged;
            charged = 0;
        }
    }
    spin_give(b);
    return charged;
}

uint64_t waiters_leave(struct waiters *w, const void *lock, uint64_t from, uint64_t now,
                       bool signaled) {
    struct waiters_bucket *b = bucket_of(w, lock);
    uint64_t rest = now > from ? now - from : 0;
    if (!spin_take(b))
        return rest;
    struct waiters_entry *e = entry_find(b, lock);
    if (e) {
        from = later(from, e->last);
        rest = now > from ? now - from : 0;
        e->sum_from -= from;
        e->n--;
        e->signaled -= signaled && e->signaled;
        if (e->n == 0)
            *e = (struct waiters_entry){0};
        atomic_fetch_sub(&b->n, 1);
    }
    spin_give(b);
    return rest;
}
