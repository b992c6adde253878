/*
 * Why counters and not bits: a block that is freed must leave, or after an hour every free is slow.
 * Why a byte: at one pointer to 17 slots, four bits would saturate in a slot that the allocator's
 * favourite addresses share.
 *
 * Why neighbours are neighbours here, too: what a program frees all the time lies in few places. A
 * hash spread it over all lines of the array, which drove the program's own out of the cache. In a
 * python that calls malloc for each object, free and realloc took 1.7 % of the time with 16 Ki
 * hashed counters, 1.1 % with 4 Ki, and 0.9 % with 16 Ki in a straight line, whether one of those
 * stands for 128 bytes or for a thousand. The price: a block within 256 bytes of a sampled one is
 * asked for in the table, 1 in 2000 at a sample in 512 KiB, 1 in 17 at one in 4 KiB. Fewer at first
 * would be better for nothing then, and with 4 Ki the 17 blocks that the loader keeps would send
 * one free in 240 to the table, whose lines are cold.
 *
 * Growing. Pinned blocks cannot be listed, only their counts at one resolution are known (64 Ki, or
 * their share of the first array would be their share of all). In an array of fewer counters
 * several of those are one; in a larger one a pinned block is entered in every slot that continues
 * its own, 2^k neighbours. Pinning and growing race without a lock; the order of their steps lets a
 * counter become too high, which costs look-ups, and never too low:
 *
 *     pin:   pinned++, read next, read now, count in both
 *     unpin: read now, uncount there, pinned--
 *     grow:  publish next, copy pinned, ..., now = next, next = NULL
 *
 * A thread may have read `now` and be preempted before it reads the counter. The array it looks at
 * stays whole until the next doubling, and afterwards reads as empty, so that at worst one free is
 * missed and never memory that is gone.
 */
#include "agent/filter.h"

#include <string.h>

#include "common/arena.h"
#include "common/sys.h"

enum {
    STICKY = 255,
    PIN_BITS = 16,
    PINS = 1 << PIN_BITS,
    FIRST = 1 << FILTER_FIRST_BITS,
    ALIGN = 64,
    PAGE = 4096
};

/* The arrays that need no memory of the kernel's stand alone: beside an initialised pointer they
 * would fill 80 KiB of the file. */
static uint8_t pinned[PINS];
static _Alignas(ALIGN) uint8_t first[ALIGN + FIRST];

_Alignas(ALIGN) struct filter filter = {.now = first + 64 - FILTER_FIRST_BITS};

static unsigned bits_of(const uint8_t *counts) { return 64 - filter_shift(counts); }

static size_t bytes_of(unsigned bits) { return ((size_t)1 << bits) + PAGE; }

static uint8_t *mapping_of(uint8_t *counts) { return counts - filter_shift(counts); }

static void count(uint8_t *c, unsigned n) {
    uint8_t v = __atomic_load_n(c, __ATOMIC_RELAXED);
    while (v != STICKY &&
           !__atomic_compare_exchange_n(c, &v, (uint8_t)(v + n < STICKY ? v + n : STICKY), true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

static void uncount(uint8_t *c) {
    uint8_t v = __atomic_load_n(c, __ATOMIC_RELAXED);
    while (v != STICKY && v != 0 &&
           !__atomic_compare_exchange_n(c, &v, (uint8_t)(v - 1), true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
}

static uint8_t *now(void) { return __atomic_load_n(&filter.now, __ATOMIC_SEQ_CST); }

static uint8_t *next(void) { return __atomic_load_n(&filter.next, __ATOMIC_SEQ_CST); }

void filter_add(const void *p, bool next_too) {
    uint8_t *n = next_too ? next() : NULL, *c = now();
    count(&c[filter_slot(c, p)], 1);
    if (n && n != c)
        count(&n[filter_slot(n, p)], 1);
}

void filter_remove(const void *p, bool next_too) {
    uint8_t *n = next_too ? next() : NULL, *c = now();
    uncount(&c[filter_slot(c, p)]);
    if (n && n != c)
        uncount(&n[filter_slot(n, p)]);
}

static uint64_t pin_slot(const void *p) {
    return filter_slot((const uint8_t *)(uintptr_t)(64 - PIN_BITS), p);
}

/* The counters of this array that stand for a slot of `pinned`. */
struct run {
    uint8_t *at;
    unsigned n;
};

static struct run run_of(uint8_t *counts, uint64_t slot) {
    unsigned bits = bits_of(counts);
    if (bits < PIN_BITS)
        return (struct run){counts + (slot >> (PIN_BITS - bits)), 1};
    return (struct run){counts + (slot << (bits - PIN_BITS)), 1u << (bits - PIN_BITS)};
}

static void pin_in(uint8_t *counts, uint64_t slot, unsigned n) {
    struct run r = run_of(counts, slot);
    for (unsigned i = 0; i < r.n; i++)
        count(&r.at[i], n);
}

void filter_pin(const void *p) {
    uint64_t slot = pin_slot(p);
    count(&pinned[slot], 1);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint8_t *n = next(), *c = now();
    pin_in(c, slot, 1);
    if (n && n != c)
        pin_in(n, slot, 1);
}

void filter_unpin(const void *p) {
    uint64_t slot = pin_slot(p);
    struct run r = run_of(now(), slot);
    for (unsigned i = 0; i < r.n; i++)
        uncount(&r.at[i]);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uncount(&pinned[slot]);
}

bool filter_grow_begin(struct arena *a) {
    unsigned bits = bits_of(now()) + 1;
    if (bits > FILTER_MAX_BITS)
        return false;
    uint8_t *mapping = arena_map(a, bytes_of(bits));
    if (!mapping)
        return false;
    uint8_t *fresh = mapping + 64 - bits;
    __atomic_store_n(&filter.next, fresh, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (unsigned slot = 0; slot < PINS; slot++) {
        unsigned n = __atomic_load_n(&pinned[slot], __ATOMIC_SEQ_CST);
        if (n)
            pin_in(fresh, slot, n);
    }
    return true;
}

void filter_carry(const void *p) {
    uint8_t *n = next();
    count(&n[filter_slot(n, p)], 1);
}

void filter_grow_end(struct arena *a) {
    uint8_t *old = now(), *older = filter.before;
    __atomic_store_n(&filter.now, next(), __ATOMIC_SEQ_CST);
    __atomic_store_n(&filter.next, NULL, __ATOMIC_SEQ_CST);
    filter.before = bits_of(old) > FILTER_FIRST_BITS ? old : NULL;
    if (older)
        arena_empty(a, mapping_of(older), bytes_of(bits_of(older)));
}

static void give_back(uint8_t *counts) {
    if (counts && bits_of(counts) > FILTER_FIRST_BITS)
        sys_unmap(mapping_of(counts), bytes_of(bits_of(counts)));
}

void filter_reset(void) {
    struct filter was = filter;
    uint8_t *counts = first + 64 - FILTER_FIRST_BITS;
    memset(counts, 0, FIRST);
    for (unsigned slot = 0; slot < PINS; slot++)
        if (pinned[slot])
            pin_in(counts, slot, pinned[slot]);
    filter = (struct filter){.now = counts};
    give_back(was.now);
    give_back(was.next);
    give_back(was.before);
}
