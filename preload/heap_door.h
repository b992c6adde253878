#pragma once
/* HOT. What the doors of malloc and of operator new have in common once a countdown ran out or the
 * filter said "perhaps". */
#include "agent/heap.h"
#include "preload/real.h"

/* p, entered if rate says so. */
static inline void *heap_entered(unsigned rate, void *p, size_t n) {
    heap_enter(rate, p, n);
    return p;
}

/* The host frees p: true if it was a sampled block, which is now forgotten. */
static inline bool heap_forgotten(void *p) {
    struct live_block b;
    if (!heap_take(p, &b))
        return false;
    heap_freed(&b);
    return true;
}
