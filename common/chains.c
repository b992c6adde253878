/*
 * Equality is always checked in full: a hash alone merges two stacks once in a while and nobody
 * would know (async-profiler keys its call traces by a 64-bit hash only). The hash merely saves
 * compares.
 *
 * Invariant: a link is complete before the compare-exchange that makes it visible. Two threads that
 * intern one key at once may both make it; the loser finds the winner's and leaves its own unused.
 */
#include "common/chains.h"

struct link *chains_intern(struct chains *c, struct arena *a, uint64_t hash,
                           bool (*same)(const struct link *, const void *key),
                           struct link *(*make)(struct arena *, const void *key), const void *key) {
    _Atomic(struct link *) *buckets = ARENA_LINES_ONCE(a, &c->buckets, CHAINS_BUCKETS);
    if (!buckets)
        return NULL;
    _Atomic(struct link *) *bucket = &buckets[hash % CHAINS_BUCKETS];
    struct link *head = atomic_load_explicit(bucket, memory_order_acquire);
    struct link *looked_from = NULL;
    struct link *made = NULL;
    for (;;) {
        for (struct link *l = head; l != looked_from; l = l->next)
            if (l->hash == hash && same(l, key))
                return l;
        if (!made) {
            made = make(a, key);
            if (!made)
                return NULL;
            made->hash = hash;
        }
        made->next = looked_from = head;
        if (atomic_compare_exchange_strong_explicit(bucket, &head, made, memory_order_acq_rel,
                                                    memory_order_acquire))
            break;
    }
    atomic_fetch_add_explicit(&c->n, 1, memory_order_relaxed);
    return made;
}

void chains_each(struct chains *c, void (*fn)(struct link *, void *arg), void *arg) {
    _Atomic(struct link *) *buckets = atomic_load_explicit(&c->buckets, memory_order_acquire);
    for (unsigned i = 0; buckets && i < CHAINS_BUCKETS; i++)
        for (struct link *l = atomic_load_explicit(&buckets[i], memory_order_acquire); l;
             l = l->next)
            fn(l, arg);
}
