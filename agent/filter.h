#pragma once
/*
 * HOT. Does free() have to look at this pointer? Counters of one byte, each for some hundred
 * addresses: zero means certainly not, anything else means ask the exact tables behind it. Two
 * sorts of pointers are entered: sampled blocks, which are in agent/live.h, and blocks that the
 * pool handed out as malloc, which are "pinned".
 *
 * Invariant: counter >= number of entered pointers in its slot. A counter that reached 255
 * stays there for ever, so a busy slot costs look-ups and never an answer. Every pointer is removed
 * at most as often as it was added; the caller vouches for that, because one removal too many would
 * hide a stranger.
 *
 * The first 16 Ki counters are .bss: few enough to leave the caches to the program, and enough for
 * the blocks of the loader, which stay for ever (filter.c). More are mapped as the live set grows,
 * so that at most 1 in 64 counters is taken while there are less than 64 Ki of them, and 1 in 17
 * afterwards. No lock here: relaxed atomics on single bytes; who grows it says what is being moved
 * (live.c).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

enum {
    FILTER_FIRST_BITS = 14,
    FILTER_SPARSE_BITS = 16, /* below it, FILTER_SPARSE_LOAD */
    FILTER_MAX_BITS = 24,
    FILTER_SPARSE_LOAD = 64, /* counters to a sampled block, at least */
    FILTER_LOAD = 17,
};

struct filter {
    /* The counters that free() asks. They begin behind a multiple of 64, at as many bytes as the
     * product is to be shifted by: one word says where they are and how many. */
    uint8_t *now;
    uint8_t *next;   /* twice as many, being filled; or NULL */
    uint8_t *before; /* half as many, which a thread may still be looking at; or NULL */
};

extern struct filter filter __attribute__((visibility("hidden")));

static inline unsigned filter_shift(const uint8_t *counts) { return (uintptr_t)counts & 63; }

/*
 * One multiply, one shift; a straight line and no hash. The factor is 2^42 and a little: of the
 * first 16 Ki counters one stands for 256 bytes in a row, and a cache line of them for nearly 16
 * KiB, so that a program that frees in few places touches few lines (filter.c). The 2^42 alone
 * would lay all memory onto 4 MiB, arenas upon arenas; the little, a golden part of 2^38, turns
 * each such piece against the ones before. A doubling halves what a counter stands for. NULL shares
 * slot 0 with its strangers.
 */
static inline uint64_t filter_slot(const uint8_t *counts, const void *p) {
    return ((uintptr_t)p * 0x4278dde6e5fu) >> filter_shift(counts);
}

/* Two loads, the first of them always in the cache. False is certain, true is "perhaps". */
static inline bool filter_maybe(const void *p) {
    const uint8_t *counts = __atomic_load_n(&filter.now, __ATOMIC_RELAXED);
    return __atomic_load_n(&counts[filter_slot(counts, p)], __ATOMIC_RELAXED) != 0;
}

/* A sampled block; next_too when it is, or will not be, carried over into filter.next. */
void filter_add(const void *p, bool next_too);
void filter_remove(const void *p, bool next_too);
/* A block of the pool. From any thread and any handler, at any time. */
void filter_pin(const void *p);
void filter_unpin(const void *p);

static inline uint64_t filter_slots(void) {
    return (uint64_t)1 << (64 - filter_shift(__atomic_load_n(&filter.now, __ATOMIC_RELAXED)));
}
/* Time to double, with n sampled blocks. */
static inline bool filter_is_crowded(uint64_t n) {
    uint64_t slots = filter_slots();
    bool sparse = slots < (uint64_t)1 << FILTER_SPARSE_BITS;
    return n * (sparse ? FILTER_SPARSE_LOAD : FILTER_LOAD) > slots;
}
/* Begins to double: filter.next is there and knows all pinned blocks. False without memory. One
 * thread at a time. */
bool filter_grow_begin(struct arena *a);
/* For each sampled block that filter.next does not know yet. */
void filter_carry(const void *p);
/* Everything was carried over: free() asks the new ones. */
void filter_grow_end(struct arena *a);
/* In a fork child: only pinned blocks are left. */
void filter_reset(void);
