#pragma once
/*
 * ANYWHERE. The sampled blocks that are not freed yet: address -> what to take back when it is. An
 * exact table, which the host's threads touch only for sampled allocations and for frees that the
 * filter (agent/filter.h) lets through.
 *
 * 32 stripes, each an array with open addressing and a spin lock. A block that is freed leaves no
 * tombstone. A host's handler that interrupts its own thread under such a lock and frees a block
 * gives up after some turns: DROP_FREE.
 *
 * Memory, from some thousand blocks on: 24 bytes * 5/4 ... 5/3 a block here, 17 ... 51 bytes of
 * filter.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

/* 48 bits hold every user address of x86-64 and aarch64 that no one asked to be higher. */
struct live_block {
    uint64_t at : 48;
    uint64_t rate : 16; /* the number of the rate in force when its gap was drawn (agent/heap.h) */
    uint64_t row : 48;  /* struct row *: where it was added */
    uint64_t born_hi : 16;
    uint64_t size : 48;
    uint64_t born_lo : 16; /* seconds on the monotonic clock, with born_hi */
};
_Static_assert(sizeof(struct live_block) == 24, "three words");

enum { LIVE_STRIPES = 32 };

struct live_stripe {
    _Alignas(64) _Atomic uint32_t lock;
    uint32_t n, cap;
    unsigned generation; /* of the filter that this stripe's blocks were carried over into */
    struct live_block *blocks;
};

struct live {
    struct live_stripe stripes[LIVE_STRIPES];
    atomic_uint_fast64_t n;
    _Atomic uint32_t growing;    /* lock: somebody doubles the filter */
    _Atomic unsigned generation; /* doublings begun */
};

enum live_put { LIVE_PUT, LIVE_REPLACED, LIVE_REFUSED };

/* Enters a block, in the filter too. LIVE_REPLACED: its address was in the table already, a free
 * went unseen; *ret_old is that block, no longer in the table. LIVE_REFUSED: no memory. */
enum live_put live_put(struct live *l, struct arena *a, const struct live_block *b,
                       struct live_block *ret_old);
/* p will be entered soon: its place is fetched meanwhile. */
void live_expect(struct live *l, const void *p);
/* Takes the block at p out, and out of the filter; false if there is none. */
bool live_take(struct live *l, const void *p, struct live_block *ret);
/* Calls fn for every block, under a lock: fn must not come back here. */
void live_each(struct live *l, void (*fn)(const struct live_block *b, void *arg), void *arg);
/* In a fork child, or in a test: empty. The filter is not touched. */
void live_reset(struct live *l);

static inline uint32_t live_born(const struct live_block *b) {
    return (uint32_t)b->born_hi << 16 | b->born_lo;
}
