#pragma once
/* 64-bit mixing: the finaliser of splitmix64 (Steele, Lea, Flood, OOPSLA 2014). Equality is always
 * checked in full, so a collision costs time, never truth. */
#include <stddef.h>
#include <stdint.h>

static inline uint64_t hash_mix(uint64_t x) {
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* One step for one word: no two states become one. The halves change places because a product's low
 * bits know nothing of the high ones. */
static inline uint64_t hash_step(uint64_t h, uint64_t w, uint64_t odd) {
    h = (h ^ w) * odd;
    return h << 32 | h >> 32;
}

/* Two chains side by side: 30 words take 30 ns, mixed in full one by one they took 80. */
static inline uint64_t hash_words(const uint64_t *w, size_t n, uint64_t seed) {
    uint64_t a = seed ^ n, b = ~seed;
    for (; n >= 2; n -= 2, w += 2) {
        a = hash_step(a, w[0], 0x9e3779b97f4a7c15u);
        b = hash_step(b, w[1], 0xd6e8feb86659fd93u);
    }
    if (n)
        a = hash_step(a, *w, 0x9e3779b97f4a7c15u);
    return hash_mix(a ^ hash_mix(b));
}

/* FNV-1a, for short strings. */
static inline uint64_t hash_bytes(const void *p, size_t n) {
    const unsigned char *b = p;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 0x100000001b3u;
    return h;
}
