#pragma once
/*
 * HOT. Does free() have to look at this pointer? Two sieves of counters of one byte: zero means
 * certainly not, anything else means ask what is behind it.
 *
 * The first, which every free() asks, counts by pages of 4 KiB what begins in them: sampled blocks,
 * which are in agent/live.h, and blocks that the pool handed out as malloc, which are "pinned". At
 * a sample in 512 KiB one page in 128 has any. The second, behind it, knows sampled blocks only,
 * and them closely; it grows with their number, so that at most 1 in 17 of its counters is taken.
 *
 * Invariant of both: counter >= number of entered pointers in its slot. A counter that reached 255
 * stays there for ever, so a busy slot costs look-ups and never an answer. Every pointer is removed
 * at most as often as it was added; the caller vouches for that, because one removal too many would
 * hide a stranger. No lock here: relaxed atomics on single bytes; who grows the second says what is
 * being moved (live.c).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

enum {
    FILTER_PAGE_BITS = 12,
    FILTER_PAGES = 1 << (32 - FILTER_PAGE_BITS),
    FILTER_FIRST_BITS = 14,
    FILTER_MAX_BITS = 24,
    FILTER_LOAD = 17, /* counters to a sampled block, at least */
};

/* .bss, of which only touched pages exist: one for 16 MiB of heap. */
extern uint8_t filter_pages[FILTER_PAGES] __attribute__((visibility("hidden")));

/* Pages 4 GiB apart share a counter. */
static inline uint32_t filter_page(const void *p) {
    return (uint32_t)(uintptr_t)p >> FILTER_PAGE_BITS;
}

/* One shift, one load. False is certain, true is "perhaps". */
static inline bool filter_maybe(const void *p) {
    return __atomic_load_n(&filter_pages[filter_page(p)], __ATOMIC_RELAXED) != 0;
}

struct filter {
    /* The second sieve. The counters begin behind a multiple of 64, at as many bytes as the product
     * is to be shifted by: one word says where they are and how many. */
    uint8_t *now;
    uint8_t *next;   /* twice as many, being filled; or NULL */
    uint8_t *before; /* half as many, which a thread may still be looking at; or NULL */
};

extern struct filter filter __attribute__((visibility("hidden")));

static inline unsigned filter_shift(const uint8_t *counts) { return (uintptr_t)counts & 63; }

/*
 * One multiply, one shift; a straight line and no hash: of the first 16 Ki counters one stands for
 * 256 bytes in a row, and a doubling halves that, so that samples that lie together take few pages
 * of a large array. The factor is 2^42 and a little. The 2^42 alone would lay all memory onto 4
 * MiB, arenas upon arenas; the little, a golden part of 2^38, turns each such piece against the
 * ones before.
 */
static inline uint64_t filter_slot(const uint8_t *counts, const void *p) {
    return ((uintptr_t)p * 0x4278dde6e5fu) >> filter_shift(counts);
}

/* Whether p is sampled, once filter_maybe() said "perhaps": false is certain. */
static inline bool filter_likely(const void *p) {
    const uint8_t *counts = __atomic_load_n(&filter.now, __ATOMIC_RELAXED);
    return __atomic_load_n(&counts[filter_slot(counts, p)], __ATOMIC_RELAXED) != 0;
}

/* p will be added soon. */
static inline void filter_expect(const void *p) {
    const uint8_t *counts = __atomic_load_n(&filter.now, __ATOMIC_RELAXED);
    __builtin_prefetch(&counts[filter_slot(counts, p)], 1);
    __builtin_prefetch(&filter_pages[filter_page(p)], 1);
}

/* A sampled block; next_too when it is, or will not be, carried over into filter.next. */
void filter_add(const void *p, bool next_too);
void filter_remove(const void *p, bool next_too);
/* A block of the pool. From any thread and any handler, at any time. */
void filter_pin(const void *p);
void filter_unpin(const void *p);
/* Whether any block of the pool is out there. In a process with one thread. */
bool filter_has_pins(void);

static inline uint64_t filter_slots(void) {
    return (uint64_t)1 << (64 - filter_shift(__atomic_load_n(&filter.now, __ATOMIC_RELAXED)));
}
/* Time to double, with n sampled blocks. */
static inline bool filter_is_crowded(uint64_t n) { return n * FILTER_LOAD > filter_slots(); }
/* Begins to double: filter.next is there. False without memory. One thread at a time. */
bool filter_grow_begin(struct arena *a);
/* For each sampled block that filter.next does not know yet. */
void filter_carry(const void *p);
/* Everything was carried over: the new ones are asked. */
void filter_grow_end(struct arena *a);
/* In a fork child: only what the pool has is left, and stays. */
void filter_reset(void);
