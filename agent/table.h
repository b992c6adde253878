#pragma once
/*
 * ANYWHERE. The rows of one kind of profile: (stack, who, tag) -> sums. Sums only ever
 * grow; a file's window is the difference to what the previous file wrote, so a
 * reader never makes a writer wait and no sample falls between two windows.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/stack.h"
#include "common/chains.h"
#include "common/kinds.h"

/* The thread that a row belongs to. Outlives the thread: the name is the last one it was seen with.
 */
struct who {
    int32_t tid;
    char name[16];
};

struct row {
    struct link link;
    const struct stack *stack;
    const struct who *who; /* NULL: not told apart by thread */
    uint64_t tag;          /* the kind's own */
    atomic_int_fast64_t sums[KIND_MAX_VALUES];
    union {
        int64_t written[KIND_MAX_VALUES]; /* by the last file; only the dumper touches it */
        atomic_int_fast64_t parts[KIND_MAX_VALUES]; /* fractions of the sums (row_add_scaled) */
    };
    int64_t peak[2]; /* agent/heap.c */
};

struct table {
    struct chains chains;
    struct row other; /* where samples go when there is no memory for a row; stack NULL */
};

/* The one row with this key, made if need be; &t->other when the arena is full. Never NULL. */
struct row *table_row(struct table *t, struct arena *a, const struct stack *stack,
                      const struct who *who, uint64_t tag);
static inline void row_add(struct row *r, unsigned value, int64_t n) {
    atomic_fetch_add_explicit(&r->sums[value], n, memory_order_relaxed);
}
/*
 * Adds n times weight, in units of 2^-32, or takes it away again: no rounding, so that what was
 * added and taken away leaves zero. For kinds whose files have no windows.
 */
void row_add_scaled(struct row *r, unsigned value, unsigned __int128 weight, uint64_t n,
                    bool take_away);
/* Such a sum, rounded. */
int64_t row_scaled(const struct row *r, unsigned value);
/* Calls fn for every row, `other` last. Rows added meanwhile may be missed. */
void table_each(struct table *t, void (*fn)(struct row *row, void *arg), void *arg);
