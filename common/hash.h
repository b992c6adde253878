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

static inline uint64_t hash_words(const uint64_t *w, size_t n, uint64_t seed) {
    uint64_t h = seed ^ (n * 0x9e3779b97f4a7c15u);
    for (size_t i = 0; i < n; i++)
        h = hash_mix(h ^ w[i]) + 0x9e3779b97f4a7c15u;
    return h;
}

/* FNV-1a, for short strings. */
static inline uint64_t hash_bytes(const void *p, size_t n) {
    const unsigned char *b = p;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 0x100000001b3u;
    return h;
}
