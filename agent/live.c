/*
 * Linear probing in an array whose length need not be a power of two: the home of a hash is its
 * high bits times the length, so an array grows by a quarter, not to twice. At four fifths full a
 * look-up of a block that is not there sees 13 entries of 24 bytes, five cache lines.
 *
 * Invariant of a stripe: between a block's home and its place no entry is empty. Taking one out
 * moves later blocks back until that holds again.
 */
#include "agent/live.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/filter.h"
#include "agent/self.h"
#include "common/arena.h"
#include "common/hash.h"
#include "common/spin.h"
#include "common/sys.h"

enum { PAGE = 4096, STRIPE_BITS = 5, FIRST_BLOCKS = 16 };
_Static_assert(1 << STRIPE_BITS == LIVE_STRIPES, "the first bits of the hash choose the stripe");

static uint64_t hash_of(uint64_t at) { return hash_mix(at >> 4); }

static struct live_stripe *stripe_of(struct live *l, uint64_t hash) {
    return &l->stripes[hash >> (64 - STRIPE_BITS)];
}

static uint32_t home(const struct live_stripe *s, uint64_t at) {
    return (uint32_t)(((hash_of(at) << STRIPE_BITS >> 32) * s->cap) >> 32);
}

static uint32_t after(const struct live_stripe *s, uint32_t i) {
    return i + 1 < s->cap ? i + 1 : 0;
}

/* How far behind `from` entry `to` is. */
static uint32_t distance(const struct live_stripe *s, uint32_t from, uint32_t to) {
    return to >= from ? to - from : to + s->cap - from;
}

/* A thread inside the agent already was interrupted by the host's handler that brings it here: the
 * lock may be its own. */
static bool lock(struct live_stripe *s) {
    return spin_lock(&s->lock, self.busy > 1 ? SPIN_NESTED : SPIN_PATIENCE);
}

static void unlock(struct live_stripe *s) { spin_unlock(&s->lock); }

/* The entry of that address, or the empty one where it belongs. */
static uint32_t find(const struct live_stripe *s, uint64_t at) {
    uint32_t i = home(s, at);
    while (s->blocks[i].at && s->blocks[i].at != at)
        i = after(s, i);
    return i;
}

static size_t bytes_of(uint32_t cap) {
    return (cap * sizeof(struct live_block) + PAGE - 1) & ~(size_t)(PAGE - 1);
}

static bool is_mapping(const struct live_stripe *s) { return s->cap > FIRST_BLOCKS; }

/* The first array of each stripe is the arena's, so that a few hundred blocks lie in three pages
 * and not in 32. */
static bool enlarge(struct live_stripe *s, struct arena *a) {
    const struct live_stripe old = *s;
    size_t bytes = !old.cap            ? FIRST_BLOCKS * sizeof *s->blocks
                   : !is_mapping(&old) ? PAGE
                                       : bytes_of(old.cap + old.cap / 4);
    struct live_block *fresh = old.cap ? arena_map(a, bytes) : arena_alloc_lines(a, bytes);
    if (!fresh)
        return false;
    s->blocks = fresh;
    s->cap = (uint32_t)(bytes / sizeof *fresh);
    for (uint32_t i = 0; i < old.cap; i++)
        if (old.blocks[i].at)
            s->blocks[find(s, old.blocks[i].at)] = old.blocks[i];
    if (is_mapping(&old))
        arena_unmap(a, old.blocks, bytes_of(old.cap));
    return true;
}

/* Four fifths are the aim; without memory the last sixteenth stays empty, or probing never ends. */
static bool has_room(struct live_stripe *s, struct arena *a) {
    return 5 * (uint64_t)s->n < 4 * (uint64_t)s->cap || enlarge(s, a) ||
           16 * (uint64_t)s->n < 15 * (uint64_t)s->cap;
}

/* Under the lock: filter.next knows this stripe's blocks. */
static bool is_carried(struct live *l, const struct live_stripe *s) {
    return s->generation == atomic_load(&l->generation);
}

static bool carry_stripe(struct live *l, struct live_stripe *s) {
    if (!lock(s))
        return false;
    for (uint32_t i = 0; i < s->cap; i++)
        if (s->blocks[i].at)
            filter_carry((void *)(uintptr_t)s->blocks[i].at);
    s->generation = atomic_load(&l->generation);
    unlock(s);
    return true;
}

/* Stripe by stripe, so that the others go on. Between begin and end a block enters both arrays when
 * its stripe was carried over, and only the old one when it is still to be. A handler never grows:
 * its thread may hold a stripe. */
static void grow_filter(struct live *l, struct arena *a) {
    if (self.busy > 1 || !spin_lock(&l->growing, 1))
        return;
    if (filter_is_crowded(atomic_load(&l->n))) {
        atomic_fetch_add(&l->generation, 1);
        if (filter_grow_begin(a)) {
            for (unsigned i = 0; i < LIVE_STRIPES; i++)
                if (!carry_stripe(l, &l->stripes[i]))
                    return; /* its owner is gone, and so is growing; both arrays stay right */
            filter_grow_end(a);
        }
    }
    spin_unlock(&l->growing);
}

enum live_put live_put(struct live *l, struct arena *a, const struct live_block *b,
                       struct live_block *ret_old) {
    struct live_stripe *s = stripe_of(l, hash_of(b->at));
    if (!lock(s))
        return LIVE_REFUSED;
    enum live_put done = LIVE_REFUSED;
    if (has_room(s, a)) {
        uint32_t i = find(s, b->at);
        done = s->blocks[i].at ? LIVE_REPLACED : LIVE_PUT;
        if (done == LIVE_REPLACED) {
            *ret_old = s->blocks[i];
        } else {
            filter_add((void *)(uintptr_t)b->at, is_carried(l, s));
            s->n++;
        }
        s->blocks[i] = *b;
    }
    unlock(s);
    if (done == LIVE_PUT && filter_is_crowded(atomic_fetch_add(&l->n, 1) + 1))
        grow_filter(l, a);
    return done;
}

/* Without the lock: what is read may be wrong, and a prefetch of no memory does nothing. */
void live_expect(struct live *l, const void *p) {
    struct live_stripe *s = stripe_of(l, hash_of((uintptr_t)p));
    uintptr_t blocks = (uintptr_t)__atomic_load_n(&s->blocks, __ATOMIC_RELAXED);
    __builtin_prefetch((void *)(blocks + home(s, (uintptr_t)p) * sizeof *s->blocks), 1);
    filter_expect(p);
}

/* Entry i is to be empty: blocks behind it that may move up do. */
static void remove_at(struct live_stripe *s, uint32_t i) {
    for (uint32_t j = after(s, i); s->blocks[j].at; j = after(s, j))
        if (distance(s, home(s, s->blocks[j].at), j) >= distance(s, i, j)) {
            s->blocks[i] = s->blocks[j];
            i = j;
        }
    s->blocks[i].at = 0;
    s->n--;
}

bool live_take(struct live *l, const void *p, struct live_block *ret) {
    uint64_t at = (uintptr_t)p;
    struct live_stripe *s = stripe_of(l, hash_of(at));
    if (!lock(s)) {
        agent_drop(DROP_FREE);
        return false;
    }
    uint32_t i = s->cap ? find(s, at) : 0;
    bool found = s->cap && s->blocks[i].at == at && at;
    if (found) {
        *ret = s->blocks[i];
        remove_at(s, i);
        filter_remove(p, is_carried(l, s));
    }
    unlock(s);
    if (found)
        atomic_fetch_sub(&l->n, 1);
    return found;
}

void live_each(struct live *l, void (*fn)(const struct live_block *b, void *arg), void *arg) {
    for (unsigned i = 0; i < LIVE_STRIPES; i++) {
        struct live_stripe *s = &l->stripes[i];
        if (!lock(s))
            continue;
        for (uint32_t at = 0; at < s->cap; at++)
            if (s->blocks[at].at)
                fn(&s->blocks[at], arg);
        unlock(s);
    }
}

void live_reset(struct live *l) {
    for (unsigned i = 0; i < LIVE_STRIPES; i++)
        if (is_mapping(&l->stripes[i]))
            sys_unmap(l->stripes[i].blocks, bytes_of(l->stripes[i].cap));
    memset(l, 0, sizeof *l);
}
