/* ANYWHERE. A row's key is three words that point at interned things: comparing in full is three
 * compares. */
#include "agent/table.h"

#include "common/hash.h"

static bool same(const struct link *l, const void *key) {
    const struct row *r = (const struct row *)l, *k = key;
    return r->stack == k->stack && r->who == k->who && r->tag == k->tag;
}

static struct link *make(struct arena *a, const void *key) {
    const struct row *k = key;
    struct row *r = arena_alloc(a, sizeof *r);
    if (!r)
        return NULL;
    r->stack = k->stack;
    r->who = k->who;
    r->tag = k->tag;
    return &r->link;
}

struct row *table_row(struct table *t, struct arena *a, const struct stack *stack,
                      const struct who *who, uint64_t tag) {
    if (!stack)
        return &t->other;
    const struct row key = {.stack = stack, .who = who, .tag = tag};
    const uint64_t words[] = {(uintptr_t)stack, (uintptr_t)who, tag};
    struct link *l = chains_intern(&t->chains, a, hash_words(words, 3, 0), same, make, &key);
    return l ? (struct row *)l : &t->other;
}

/* Fractions gather in a word of their own; before that runs over (2^31 samples), its whole part
 * moves to the sum. */
void row_add_scaled(struct row *r, unsigned value, unsigned __int128 weight, uint64_t n,
                    bool take_away) {
    enum { PART_BITS = 32, FULL_BITS = 61 };
    unsigned __int128 scaled = weight * n;
    int64_t whole = (int64_t)(scaled >> PART_BITS), part = (uint32_t)scaled;
    row_add(r, value, take_away ? -whole : whole);
    int64_t parts =
        atomic_fetch_add_explicit(&r->parts[value], take_away ? -part : part, memory_order_relaxed);
    if (parts >> FULL_BITS == 0 || parts >> FULL_BITS == -1)
        return;
    int64_t carry = parts >> PART_BITS;
    if (atomic_fetch_sub_explicit(&r->parts[value], carry << PART_BITS, memory_order_relaxed) >>
            FULL_BITS ==
        parts >> FULL_BITS)
        row_add(r, value, carry);
    else /* another thread did the same */
        atomic_fetch_add_explicit(&r->parts[value], carry << PART_BITS, memory_order_relaxed);
}

int64_t row_scaled(const struct row *r, unsigned value) {
    int64_t parts = atomic_load_explicit(&r->parts[value], memory_order_relaxed);
    return atomic_load_explicit(&r->sums[value], memory_order_relaxed) +
           ((parts + ((int64_t)1 << 31)) >> 32);
}

struct each {
    void (*fn)(struct row *row, void *arg);
    void *arg;
};

static void each_link(struct link *l, void *arg) {
    struct each *e = arg;
    e->fn((struct row *)l, e->arg);
}

void table_each(struct table *t, void (*fn)(struct row *row, void *arg), void *arg) {
    struct each e = {fn, arg};
    chains_each(&t->chains, each_link, &e);
    fn(&t->other, arg);
}
