/* ANYWHERE. Comparing 30 words in full costs about 10 ns; common/chains.c says why it is done. */
#include "agent/stack.h"

#include <string.h>

#include "common/hash.h"

#define FRAME(name, words) words,
const char *const frame_names[FRAME_COUNT] = {"[nothing]", FRAMES(FRAME)};
#undef FRAME

enum { EXACT = 64, SIGNIFICANT = 3 };

uint64_t frame_elided(uint64_t n) {
    if (n >= EXACT) {
        int drop = 64 - __builtin_clzll(n) - SIGNIFICANT;
        n = n >> drop << drop;
    }
    return FRAME_ELIDED | n;
}

void frame_elided_name(struct text *t, uint64_t pc) {
    uint64_t n = pc & ~FRAME_ELIDED;
    text_char(t, '[');
    text_u64(t, n);
    text_str(t, n >= EXACT ? "+ frames elided]" : " frames elided]");
}

struct frames {
    const uint64_t *pcs;
    uint32_t n;
};

static bool same(const struct link *l, const void *key) {
    const struct stack *k = (const struct stack *)l;
    const struct frames *f = key;
    return k->n == f->n && memcmp(k->pcs, f->pcs, f->n * sizeof *f->pcs) == 0;
}

static struct link *make(struct arena *a, const void *key) {
    const struct frames *f = key;
    struct stack *k = arena_alloc(a, sizeof *k + f->n * sizeof *f->pcs);
    if (!k)
        return NULL;
    k->n = f->n;
    memcpy(k->pcs, f->pcs, f->n * sizeof *f->pcs);
    return &k->link;
}

const struct stack *stack_intern(struct stacks *s, struct arena *a, const uint64_t *pcs,
                                 uint32_t n) {
    const struct frames f = {pcs, n};
    return (const struct stack *)chains_intern(&s->chains, a, hash_words(pcs, n, 0), same, make,
                                               &f);
}
