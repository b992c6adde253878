#pragma once
/*
 * HOT. Does free() have to look at this pointer? 64 Ki counters of one byte, indexed by a hash of
 * the address: zero means certainly not, anything else means ask the exact tables behind it.
 * Entered are the blocks that the pool handed out as malloc, and sampled blocks.
 *
 * Invariant: counter >= number of entered pointers that hash to it. A counter that reached 255
 * stays there for ever, so a busy slot costs look-ups and never an answer. Every pointer is removed
 * at most as often as it was added; the caller vouches for that, because one removal too many would
 * hide a stranger.
 *
 * No lock: relaxed atomics on single bytes. Fork-safe for the same reason: the child keeps the
 * counts, as it keeps the blocks. 64 KiB of .bss, a page of it real memory when its first pointer
 * is entered.
 */
#include <stdbool.h>
#include <stdint.h>

enum { FILTER_BITS = 16 };

extern uint8_t filter_counts[1 << FILTER_BITS] __attribute__((visibility("hidden")));

/* Fibonacci hashing of the 16-byte unit: one multiply, one shift. NULL shares slot 0 with its
 * strangers. */
static inline uint32_t filter_slot(const void *p) {
    return (uint32_t)((((uintptr_t)p >> 4) * 0x9e3779b97f4a7c15u) >> (64 - FILTER_BITS));
}

/* One load. False is certain, true is "perhaps". */
static inline bool filter_maybe(const void *p) {
    return __atomic_load_n(&filter_counts[filter_slot(p)], __ATOMIC_RELAXED) != 0;
}

void filter_add(const void *p);
void filter_remove(const void *p);
