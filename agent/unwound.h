#pragma once
/*
 * ANYWHERE. One frame of a walk by unwind tables, x86-64, and the step to its caller where its rule
 * is not a simple one. Shared by the walk of an interrupted thread (unwind_cfi.c), which knows all
 * registers, and that of a blocked one (unwind_remote.c), which knows two.
 */
#include "agent/cfi.h"
#include "agent/unwind.h"

/* A frame in a function that installs a landing pad's registers, and what it seems to return to. */
struct landing {
    uint64_t pc, sp, bp;
    unsigned seen; /* frames recorded up to it, itself included; 0: none met */
};

struct unwound {
    struct walk *w;
    struct cfi_machine m; /* registers as they are in this frame; pc is that of RA */
    bool exact;           /* pc is an instruction to be executed, not one behind a call */
    bool thorough;        /* every register is traced */
    bool lacks_bp;        /* the step failed because rbp is not known */
    unsigned turns;       /* steps to another stack, which may lie anywhere */
    struct landing landing;
};

enum { UNWOUND_STEPS = 1 << 17, UNWOUND_RECORDS = 4096 };
enum { UNWOUND_BASIC = 1 << CFI_RA | 1 << CFI_RSP | 1 << CFI_RBP };

/* The instruction that the frame is in. */
static inline uint64_t unwound_place(const struct unwound *f) {
    return f->m.reg[CFI_RA] - !f->exact;
}
static inline bool unwound_knows_bp(const struct unwound *f) { return f->m.known >> CFI_RBP & 1; }

/* True if the address lies in code and behind a call instruction (unwind_remote.c). */
bool walk_follows_call(struct walk *w, uint64_t ra);
/* The innermost frame, with what the walk starts from; w->seen is 0. */
void unwound_begin(struct unwound *f);
/* Records the frame and goes to its caller; false with w->end set at the end of the walk. */
bool unwound_step(struct unwound *f, uint32_t rule);
/* For a walk that went wrong: if it met a frame that was leaving for a landing pad, it is back
 * there and goes on with the landing pad's frame. Once. */
bool unwound_land(struct unwound *f);
