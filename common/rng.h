#pragma once
/* Random numbers without libc: splitmix64, one 64-bit word of state per thread. Any seed is fine.
 */
#include <stdint.h>

#include "common/hash.h"

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *r) {
    r->state += 0x9e3779b97f4a7c15u;
    return hash_mix(r->state);
}

/* Uniform in [0, n); the bias of the multiply-shift is below n / 2^64. */
static inline uint64_t rng_below(struct rng *r, uint64_t n) {
    return (uint64_t)(((unsigned __int128)rng_next(r) * n) >> 64);
}
