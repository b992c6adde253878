/*
 * ANYWHERE. The default engine, x86-64: {pc, sp, rbp} and a rule per frame. Most frames are
 * walk_simple(), a few loads each; what 28 bits cannot say goes through unwound_step() with
 * whatever registers are known. A frame that needs a register not traced so far (rbx of a
 * hand-written stack switch) starts the walk over with all of them. No libc, no TLS, no lock: it
 * runs for threads that we know nothing about, too.
 */
#include <errno.h>
#include <string.h>

#include "agent/rules.h"
#include "agent/unwound.h"
#include "common/sys.h"

/* As long as rules are simple: the rule that is not, with its frame not yet recorded; CFI_NOTHING
 * with f->w->end set when the walk is over. */
static uint32_t walk_simple(struct unwound *f) {
    struct walk *w = f->w;
    uint64_t pc = f->m.reg[CFI_RA], sp = f->m.reg[CFI_RSP], bp = f->m.reg[CFI_RBP];
    bool exact = f->exact;
    uint32_t rule;
    w->end = WALK_NOT_CODE;
    for (;;) {
        uint64_t at = pc - !exact;
        rule = rules_find(w, at);
        enum cfi_kind kind = cfi_kind(rule);
        if (kind != CFI_BY_SP && kind != CFI_BY_BP)
            break;
        uint64_t cfa = (kind == CFI_BY_SP ? sp : bp) + cfi_cfa_bytes(rule);
        if (cfa <= sp)
            break;
        walk_add(w, at);
        uint32_t saved = cfi_bp_bytes(rule);
        if (!walk_load(w, cfa - 8, &pc) || (saved && !walk_load(w, cfa - saved, &bp))) {
            w->end = WALK_UNREADABLE;
            return cfi_rule(CFI_NOTHING, 0, 0);
        }
        sp = cfa;
        exact = false;
        if (pc == 0 || w->seen > UNWOUND_STEPS) {
            w->end = pc ? WALK_ENDLESS : WALK_ROOT;
            return cfi_rule(CFI_NOTHING, 0, 0);
        }
    }
    f->m.known = f->exact && exact ? f->m.known : UNWOUND_BASIC;
    f->m.reg[CFI_RA] = pc;
    f->m.reg[CFI_RSP] = sp;
    f->m.reg[CFI_RBP] = bp;
    f->exact = exact;
    return rule;
}

static void walk_on(struct unwound *f) {
    struct walk *w = f->w;
    uint32_t rule;
    do {
        rule = f->thorough ? rules_find(w, unwound_place(f)) : walk_simple(f);
        if (cfi_kind(rule) == CFI_NOTHING && w->end != WALK_NOT_CODE && !f->thorough)
            return;
        if (w->seen > UNWOUND_STEPS) {
            w->end = WALK_ENDLESS;
            return;
        }
    } while (unwound_step(f, rule));
}

static void cfi_walk(struct walk *w) {
    struct unwound f = {.w = w};
    rules_begin(w);
    unwound_begin(&f);
    do
        walk_on(&f);
    while (unwound_land(&f));
}

/* Self-test: four functions of ours, walked from the innermost.
 * ------------------------------------ */

struct trial {
    uint64_t expected[4];
    uint64_t pcs[32];
    bool right;
};

static __attribute__((noinline)) void trial_walk(struct trial *t) {
    struct walk w;
    ucontext_t c;
    sys_context_here(&c);
    walk_init(&w, &c, t->pcs, sizeof t->pcs / sizeof t->pcs[0]);
    t->expected[0] = (uint64_t)__builtin_return_address(0);
    cfi_walk(&w);
    walk_finish(&w);
    t->right = w.n > 4;
    for (unsigned i = 0; i < 4; i++)
        t->right = t->right && t->pcs[1 + i] == t->expected[i] - 1;
}

#define TRIAL(name, next, i)                                      \
    static __attribute__((noinline)) void name(struct trial *t) { \
        volatile char room[24 + 40 * i];                          \
        room[0] = 0;                                              \
        t->expected[i] = (uint64_t)__builtin_return_address(0);   \
        next(t);                                                  \
        room[1] = room[0];                                        \
    }
TRIAL(trial_one, trial_walk, 1)
TRIAL(trial_two, trial_one, 2)
TRIAL(trial_three, trial_two, 3)

/* Whatever is wrong here (a linker that drops tables, a strange loader), another engine is better.
 */
static int cfi_load(void) {
    struct trial t = {0};
    trial_three(&t);
    return t.right ? 0 : -ENOTSUP;
}

const struct unwinder unwind_cfi = {
    .name = "unwind tables", .any_thread = true, .load = cfi_load, .walk = cfi_walk};
