#pragma once
/*
 * ANYWHERE. An append-only hash table without locks, for things that are interned: found or made,
 * never changed in their key, never removed. Embed struct link first in what is stored.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"

struct link {
    struct link *next;
    uint64_t hash;
};

enum { CHAINS_BUCKETS = 1 << 14 };

struct chains {
    _Atomic(_Atomic(struct link *) *) buckets; /* CHAINS_BUCKETS, made with the first link */
    atomic_uint_fast64_t n;
};

/* The link for which same(link, key) holds, or a new one that make(arena, key) returned; NULL when
 * there is no memory. make fills in everything but the struct link. */
struct link *chains_intern(struct chains *c, struct arena *a, uint64_t hash,
                           bool (*same)(const struct link *, const void *key),
                           struct link *(*make)(struct arena *, const void *key), const void *key);
/* Calls fn for every link. Links added meanwhile may be missed. */
void chains_each(struct chains *c, void (*fn)(struct link *, void *arg), void *arg);
