#include "tests/remote_chain.h"

typedef int shape_fn(struct chain *c);
static shape_fn plain, wide, on_request, many, aligned, aligned_on_request, tail;
/* First those whose frames have one size. */
static shape_fn *const volatile shapes[] = {
    plain, wide, many, aligned, tail, on_request, aligned_on_request};
enum { SHAPES = sizeof shapes / sizeof shapes[0], FIXED = 5 };

static inline uint64_t roll(struct chain *c) {
    c->seed = c->seed * 6364136223846793005u + 1442695040888963407u;
    return c->seed >> 33;
}

/* What is allocated is used, if not to its end. */
static inline volatile char *fill(struct chain *c, volatile char *room, uint64_t size) {
    for (uint64_t i = 0, n = 1 + roll(c) % size; i < n; i++)
        room[i] = 1;
    return room;
}

/* Remembers the caller, and before that leaves the frames of another chain where ours will be. */
#define ENTER(c)                                                                       \
    do {                                                                               \
        (c)->returns_to[(c)->n++] = (uint64_t)(uintptr_t)__builtin_return_address(0);  \
        if ((c)->block && (c)->left % 11 == 5) {                                       \
            struct chain before = {.seed = (c)->seed, .left = 7, .fixed = (c)->fixed}; \
            shapes[(c)->seed % FIXED](&before);                                        \
        }                                                                              \
    } while (0)

/* Half of the calls name their function, half go through a pointer. */
static inline __attribute__((always_inline)) int next(struct chain *c) {
    if (c->left == 0) {
        if (c->block)
            c->block(c->arg);
        return 0;
    }
    c->left--;
    uint64_t r = roll(c);
    if (r & 1)
        return shapes[(r >> 1) % (c->fixed ? FIXED : SHAPES)](c);
    switch ((r >> 1) % (c->fixed ? FIXED : SHAPES)) {
    case 0: return plain(c) + 1;
    case 1: return wide(c) + 1;
    case 2: return many(c) + 1;
    case 3: return aligned(c) + 1;
    case 4: return tail(c) + 1;
    case 5: return on_request(c) + 1;
    default: return aligned_on_request(c) + 1;
    }
}

#define SHAPE(name) static __attribute__((noinline)) int name(struct chain *c)

SHAPE(plain) {
    volatile int room = 1;
    ENTER(c);
    int r = next(c);
    return r + room;
}

SHAPE(wide) {
    volatile char room[2500];
    room[c->seed % sizeof room] = 1;
    ENTER(c);
    int r = next(c);
    return r + room[c->seed % sizeof room];
}

SHAPE(on_request) {
    ENTER(c);
    volatile char *room = fill(c, __builtin_alloca(16 + c->seed % 3000), 16 + c->seed % 3000);
    int r = next(c);
    return r + room[0];
}

SHAPE(many) {
    volatile const uint64_t *s = &c->seed;
    uint64_t a = *s, b = *s * 3, d = *s ^ 5, e = *s + 7, f = *s >> 9, g = *s << 1;
    ENTER(c);
    int r = next(c);
    return r + (int)((a + b * d + e * f + g) & 0xff);
}

typedef long four __attribute__((vector_size(32)));
SHAPE(aligned) {
    volatile four v = {1, 2, 3, 4};
    ENTER(c);
    int r = next(c);
    return r + (int)v[1];
}

SHAPE(aligned_on_request) {
    ENTER(c);
    volatile four v = {1, 2, 3, 4};
    volatile char *room = fill(c, __builtin_alloca(16 + c->seed % 900), 16 + c->seed % 900);
    int r = next(c);
    return r + (int)v[1] + room[0];
}

/* Not on the stack while what it called runs. */
SHAPE(tail) {
    c->seed += 11;
    return many(c);
}

int CHAIN(struct chain *c) {
    ENTER(c);
    int r = next(c);
    __asm__ volatile("" : "+r"(r));
    return r;
}
