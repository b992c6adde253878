#pragma once
/*
 * ANYWHERE. What tells rows of one stack apart: which lock, of what kind, how the wait ended. A
 * program may lock a million objects; beyond LOCK_TAGS_MAX the lock is no longer told apart.
 */
#include <stdint.h>

#include "agent/lock_kinds.h"
#include "common/chains.h"

enum { LOCK_TAGS_MAX = 4096 };

struct lock_tag {
    struct link link;
    uintptr_t object; /* 0: one of those beyond the bound */
    uint8_t kind, state;
    bool looked_up;   /* the rest is the dumper's */
    const char *name; /* NULL: none known */
};

/* The one tag with these parts; NULL without memory. */
const struct lock_tag *lock_tag_intern(struct chains *tags, struct arena *a, uintptr_t object,
                                       enum lock_kind kind, enum lock_state state);
