/*
 * Why counters and not bits: a block that is freed must leave, or after an hour every free is slow.
 * Why a byte: 4096 live samples put 1/16 on average into a slot, and four bits would saturate in
 * one that the allocator's favourite addresses share.
 */
#include "agent/filter.h"

enum { STICKY = 255 };

uint8_t filter_counts[1 << FILTER_BITS];

void filter_add(const void *p) {
    uint8_t *c = &filter_counts[filter_slot(p)];
    uint8_t v = __atomic_load_n(c, __ATOMIC_RELAXED);
    while (v != STICKY && !__atomic_compare_exchange_n(c, &v, (uint8_t)(v + 1), true,
                                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

void filter_remove(const void *p) {
    uint8_t *c = &filter_counts[filter_slot(p)];
    uint8_t v = __atomic_load_n(c, __ATOMIC_RELAXED);
    while (v != STICKY && v != 0 &&
           !__atomic_compare_exchange_n(c, &v, (uint8_t)(v - 1), true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
}
