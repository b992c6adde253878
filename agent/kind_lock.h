#pragma once
/* ANYWHERE. The rows of the mutex and block profiles, for lock.c. The caller is busy. */
#include <stdbool.h>
#include <stdint.h>

#include "agent/grid.h"
#include "agent/lock_kinds.h"

struct row;

/* This thread waited: a sample of block, now and then. */
void kind_lock_waited(enum lock_kind kind, const void *object, enum lock_state how, uint64_t ns);
/* This thread made others wait so long in sum: true if that is a sample of mutex. */
bool kind_lock_due(struct grid_hit *ret_hit, uint64_t ns);
/* The sample: this thread's stack held the object. Its row, or NULL. */
struct row *kind_lock_held(enum lock_kind kind, const void *object, const struct grid_hit *hit);
/* What else it turns out to have cost: more delay, no sample more. */
void kind_lock_held_also(struct row *r, uint64_t delay_ns);
