#pragma once
/* ANYWHERE. Interned call stacks: the same frames are stored once, never moved and never freed. */
#include <stdint.h>

#include "common/chains.h"
#include "common/fmt.h"

/* A frame is an address (callers: return address - 1), or one of these, at addresses where no
 * program has code. Their names stand in frame_names. Or it stands for frames left out in the
 * middle of a deep stack. */
#define FRAMES(FRAME)                                                                           \
    FRAME(OTHER, "[other]")                 /* the tables were full */                          \
    FRAME(UNSAMPLED, "[unsampled]")         /* CPU time of a thread that no sample hit */       \
    FRAME(NOT_WALKED, "[stack not walked]") /* the leaf is right, its callers are unknown */    \
    FRAME(TRUNCATED, "[truncated]")         /* the walk ended before the thread's root */       \
    FRAME(SIGNAL,                                                                               \
          "[signal trampoline]") /* below it a signal handler, above it what was interrupted */ \
    FRAME(UNKNOWN, "[unknown module]") /* a library had just taken another's place */           \
    FRAME(ANONYMOUS,                                                                            \
          "[anonymous code]") /* name of code without a file (JIT) and without a perf map */

#define FRAME(name, words) FRAME_##name,
enum frame { FRAME_NONE, FRAMES(FRAME) FRAME_COUNT };
#undef FRAME

extern const char *const frame_names[FRAME_COUNT];

static inline uint64_t frame_special(enum frame f) { return f; }

/* Addresses with these upper bits exist on no machine. */
static const uint64_t FRAME_ELIDED = (uint64_t)0x8000 << 48;
static inline int frame_is_elided(uint64_t pc) { return pc >> 48 == FRAME_ELIDED >> 48; }
static inline int frame_is_special(uint64_t pc) { return pc < FRAME_COUNT || frame_is_elided(pc); }
/* Where libraries came and went, an address alone does not say which one it was in: frames in the
 * second module at a place carry a 1 above the address, and so on. */
enum { FRAME_ADDRESS_BITS = 48, FRAME_TENANTS = 0x7fff };
static inline uint64_t frame_of_tenant(uint64_t pc, unsigned tenant) {
    return pc | (uint64_t)tenant << FRAME_ADDRESS_BITS;
}
static inline unsigned frame_tenant(uint64_t frame) {
    uint64_t upper = frame >> FRAME_ADDRESS_BITS;
    return upper <= FRAME_TENANTS ? (unsigned)upper : 0;
}
static inline uint64_t frame_address(uint64_t frame) {
    return frame - ((uint64_t)frame_tenant(frame) << FRAME_ADDRESS_BITS);
}
/* At least n frames were left out. From 64 on n keeps three significant bits: a recursion sampled
 * at a thousand depths shall not make a thousand stacks. */
uint64_t frame_elided(uint64_t n);
/* "[N frames elided]" for such a frame. */
void frame_elided_name(struct text *t, uint64_t pc);

struct stack {
    struct link link;
    uint32_t n;
    uint64_t pcs[]; /* leaf first */
};

struct stacks {
    struct chains chains;
};

/* The one stack with these frames, made if need be; NULL when the arena is full. */
const struct stack *stack_intern(struct stacks *s, struct arena *a, const uint64_t *pcs,
                                 uint32_t n);
