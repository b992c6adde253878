/*
 * Why the logarithm is taken bit by bit: an absolute error e in log2 is a relative error of e *
 * rate / size in the chance of a small block. A table with 26 bits of u, as Go and tcmalloc have,
 * is fine for them; 16-byte blocks at 512 KiB want e below 1e-9, and forty squarings cost what one
 * cache miss costs.
 */
#include "agent/gap.h"

enum { LOG_BITS = 40, X_BITS = 58, CERTAIN = 40 };

static const uint64_t LN2_Q64 = 0xb17217f7d1cf79ab;                  /* ln 2 * 2^64 */
static const uint64_t LN2_Q58 = 0xb17217f7d1cf79ab >> (64 - X_BITS); /* ln 2 * 2^58 */

static uint64_t mul_high(uint64_t a, uint64_t b) {
    return (uint64_t)(((unsigned __int128)a * b) >> 64);
}

/* m is in [1, 2), in units of 2^-63. Squaring it doubles its logarithm, whose next bit is whether
 * the square reaches 2. */
uint64_t gap_minus_log2(uint64_t x) {
    unsigned zeros = (unsigned)__builtin_clzll(x);
    uint64_t m = x << zeros, fraction = 0;
    for (unsigned i = 0; i < LOG_BITS; i++) {
        uint64_t square = mul_high(m, m); /* in units of 2^-62 */
        unsigned bit = (unsigned)(square >> 63);
        fraction = 2 * fraction + bit;
        m = bit ? square : square << 1;
    }
    return ((uint64_t)(zeros + 1) << LOG_BITS) - fraction;
}

uint64_t gap_draw(struct rng *r, uint64_t rate) {
    if (rate <= 1)
        return 0;
    uint64_t u = rng_next(r);
    uint64_t log2 = gap_minus_log2(u ? u : 1);
    unsigned __int128 ln = ((unsigned __int128)log2 * LN2_Q64) >> 32; /* in units of 2^-72 */
    return (uint64_t)((ln * rate) >> (LOG_BITS + 32));
}

/* Below 2^-z the terms of the series from t^k / k! on leave 2^-64, for this k at the latest. */
static unsigned terms(uint64_t t) {
    enum { MOST = 18 };
    unsigned zeros = t ? (unsigned)__builtin_clzll(t) : 64;
    unsigned enough = zeros ? 64 / zeros + 1 : MOST;
    return enough < MOST ? enough : MOST;
}

/* 1 - exp(-x) in units of 2^-64; x in units of 2^-58, below CERTAIN. exp(-x) = 2^-n * exp(-t) with
 * t below ln 2. */
static uint64_t chance(uint64_t x) {
    unsigned n = (unsigned)(x / LN2_Q58);
    uint64_t t = (x - n * LN2_Q58) << (64 - X_BITS);
    uint64_t tail = 0; /* 1 - exp(-t) = t (1 - t/2 (1 - t/3 (1 - ...))) */
    for (unsigned k = terms(t); k > 1; k--)
        tail = mul_high(t, ~tail) / k;
    uint64_t missed = ~mul_high(t, ~tail); /* exp(-t) */
    return n < 64 ? ~(missed >> n) : ~(uint64_t)0;
}

unsigned __int128 gap_weight(uint64_t size, uint64_t rate) {
    const unsigned __int128 one = (unsigned __int128)1 << 32;
    unsigned __int128 steps = (unsigned __int128)size + 1;
    if (rate <= 1 || steps >= (unsigned __int128)CERTAIN * rate)
        return one;
    uint64_t p = chance((uint64_t)((steps << X_BITS) / rate));
    return p ? ((unsigned __int128)1 << 96) / p : one * rate;
}
