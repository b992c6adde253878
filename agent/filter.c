/*
 * Why counters and not bits: a block that is freed must leave, or after an hour every free is slow.
 * Why a byte: at one pointer to 17 slots, four bits would saturate in a slot that the allocator's
 * favourite addresses share.
 *
 * Why pages in front: free waits for its block's memory, and what its door does with the address
 * waits along. A shift of the lower half and a load from a fixed place cost a pair of cold blocks
 * 1.5 ns less than the second sieve alone would (docs/performance.md), and what a program frees all
 * the time lies in few pages, a cache line of their counters to 256 KiB of heap: hashed counters
 * drove the program's own lines out of the cache. Counters for 8 and 16 KiB cost the same there; of
 * 64 KiB one in eight would have a sample.
 *
 * Growing. A thread may have read `now` and be preempted before it reads the counter. The array it
 * looks at stays whole until the next doubling, and afterwards reads as empty, so that at worst one
 * free is missed and never memory that is gone.
 */
#include "agent/filter.h"

#include <string.h>

#include "common/arena.h"
#include "common/pool.h"
#include "common/sys.h"

enum { STICKY = 255, FIRST = 1 << FILTER_FIRST_BITS, ALIGN = 64, PAGE = 4096 };

/* The arrays that need no memory of the kernel's stand alone: beside an initialised pointer they
 * would fill a megabyte of the file. */
_Alignas(PAGE) uint8_t filter_pages[FILTER_PAGES];
static _Alignas(ALIGN) uint8_t first[ALIGN + FIRST];

_Alignas(ALIGN) struct filter filter = {.now = first + 64 - FILTER_FIRST_BITS};

static unsigned bits_of(const uint8_t *counts) { return 64 - filter_shift(counts); }

static size_t bytes_of(unsigned bits) { return ((size_t)1 << bits) + PAGE; }

static uint8_t *mapping_of(uint8_t *counts) { return counts - filter_shift(counts); }

static void count(uint8_t *c) {
    uint8_t v = __atomic_load_n(c, __ATOMIC_RELAXED);
    while (v != STICKY && !__atomic_compare_exchange_n(c, &v, (uint8_t)(v + 1), true,
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

void filter_pin(const void *p) { count(&filter_pages[filter_page(p)]); }

void filter_unpin(const void *p) { uncount(&filter_pages[filter_page(p)]); }

void filter_add(const void *p, bool next_too) {
    uint8_t *n = next_too ? next() : NULL, *c = now();
    count(&c[filter_slot(c, p)]);
    if (n && n != c)
        count(&n[filter_slot(n, p)]);
    count(&filter_pages[filter_page(p)]);
}

void filter_remove(const void *p, bool next_too) {
    uint8_t *n = next_too ? next() : NULL, *c = now();
    uncount(&filter_pages[filter_page(p)]);
    uncount(&c[filter_slot(c, p)]);
    if (n && n != c)
        uncount(&n[filter_slot(n, p)]);
}

bool filter_grow_begin(struct arena *a) {
    unsigned bits = bits_of(now()) + 1;
    if (bits > FILTER_MAX_BITS)
        return false;
    uint8_t *mapping = arena_map(a, bytes_of(bits));
    if (!mapping)
        return false;
    __atomic_store_n(&filter.next, mapping + 64 - bits, __ATOMIC_SEQ_CST);
    return true;
}

void filter_carry(const void *p) {
    uint8_t *n = next();
    count(&n[filter_slot(n, p)]);
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

/* What the pool handed out cannot be listed: all its pages are asked for from now on. */
static void pin_for_ever(const void *start, size_t bytes, void *arg) {
    for (size_t at = 0; at < bytes; at += (size_t)1 << FILTER_PAGE_BITS)
        filter_pages[filter_page((const char *)start + at)] = STICKY;
}

static void look_for_pins(const void *start, size_t bytes, void *arg) {
    for (size_t at = 0; at < bytes; at += (size_t)1 << FILTER_PAGE_BITS)
        if (filter_maybe((const char *)start + at))
            *(bool *)arg = true;
}

bool filter_has_pins(void) {
    bool any = false;
    pool_each_span(look_for_pins, &any);
    return any;
}

void filter_reset(void) {
    struct filter was = filter;
    uint8_t *counts = first + 64 - FILTER_FIRST_BITS;
    memset(counts, 0, FIRST);
    sys_empty(filter_pages, sizeof filter_pages);
    pool_each_span(pin_for_ever, NULL);
    filter = (struct filter){.now = counts};
    give_back(was.now);
    give_back(was.next);
    give_back(was.before);
}
