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
