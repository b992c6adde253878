/*
 * ANYWHERE. The default engine, x86-64: {pc, sp, rbp} and a rule per frame. Most frames are
 * walk_simple(), a few loads each; what 28 bits cannot say goes through cfi_step() with whatever
 * registers are known. A frame that needs a register not traced so far (rbx of a hand-written stack
 * switch) starts the walk over with all of them. No libc, no TLS, no lock: it runs for threads that
 * we know nothing about, too.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "agent/rules.h"
#include "agent/stack.h"
#include "common/sys.h"

enum { MAX_STEPS = 1 << 17, MAX_TURNS = 64, RECORDS = 4096 };

/* rax rdx rcx rbx rsi rdi rbp rsp r8-r15 rip: what each DWARF number is in a ucontext. */
static const uint8_t greg[CFI_REGS] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                       REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                       REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};

struct unwound {
    struct walk *w;
    struct cfi_machine m; /* registers as they are in this frame; pc is that of RA */
    bool exact;           /* pc is an instruction to be executed, not one behind a call */
    bool thorough;        /* every register is traced */
    unsigned turns;       /* steps to another stack, which may lie anywhere */
};

enum { BASIC = 1 << CFI_RA | 1 << CFI_RSP | 1 << CFI_RBP, ALL = (1 << CFI_REGS) - 1 };

static uint64_t place(const struct unwound *f) { return f->m.reg[CFI_RA] - !f->exact; }

static bool load(void *arg, uint64_t address, uint64_t *ret_word) {
    return walk_load(arg, address, ret_word);
}

/* Stacks grow down, so callers lie above; a few switches of stacks and signal frames excepted. */
static bool may_go_to(struct unwound *f, uint64_t sp) {
    return sp > f->m.reg[CFI_RSP] || ++f->turns <= MAX_TURNS;
}

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
        if (pc == 0 || w->seen > MAX_STEPS) {
            w->end = pc ? WALK_ENDLESS : WALK_ROOT;
            return cfi_rule(CFI_NOTHING, 0, 0);
        }
    }
    f->m.known = f->exact && exact ? f->m.known : BASIC;
    f->m.reg[CFI_RA] = pc;
    f->m.reg[CFI_RSP] = sp;
    f->m.reg[CFI_RBP] = bp;
    f->exact = exact;
    return rule;
}

/* A function that has saved rbp at sp + saved (0: not) and has its return address at sp + cfa - 8.
 */
static bool step_by_sp(struct unwound *f, uint64_t cfa, bool saved) {
    struct walk *w = f->w;
    uint64_t sp = f->m.reg[CFI_RSP] + cfa;
    if (!walk_load(w, sp - 8, &f->m.reg[CFI_RA]) ||
        (saved && !walk_load(w, sp - 16, &f->m.reg[CFI_RBP]))) {
        w->end = WALK_UNREADABLE;
        return false;
    }
    f->m.reg[CFI_RSP] = sp;
    f->m.known = BASIC;
    f->exact = false;
    return true;
}

/* Frame records {caller's record, return address}; the outermost is zero by the ABI. */
static bool step_by_frame(struct unwound *f) {
    struct walk *w = f->w;
    uint64_t bp = f->m.reg[CFI_RBP], next, ra;
    w->end = bp == 0 ? WALK_ROOT : WALK_NO_RULE;
    if (bp == 0 || bp % 8 || (bp < f->m.reg[CFI_RSP] && !may_go_to(f, bp)))
        return false;
    if (!walk_load(w, bp, &next) || !walk_load(w, bp + 8, &ra))
        return false;
    w->end = WALK_ROOT;
    if (ra == 0)
        return false;
    f->m.reg[CFI_RA] = ra;
    f->m.reg[CFI_RSP] = bp + 16;
    f->m.reg[CFI_RBP] = next;
    f->m.known = BASIC;
    f->exact = false;
    return true;
}

/* Bytes of a leaf whose function no table describes: has it built its frame record yet, or no
 * longer? */
enum { BEFORE = 8, AFTER = 8 };
static bool step_by_bytes(struct unwound *f) {
    uint8_t b[BEFORE + AFTER] = {0};
    uint64_t pc = f->m.reg[CFI_RA], ra;
    if (sys_peek((const void *)(pc - BEFORE), b, sizeof b) !=
        sizeof b) { /* across the edge of a page */
        uint64_t before = pc % 4096 < BEFORE ? pc % 4096 : BEFORE;
        sys_peek((const void *)(pc - before), b + BEFORE - before, before + AFTER);
    }
    const uint8_t *at = b + BEFORE;
    bool endbr = memcmp(at, "\xf3\x0f\x1e\xfa", 4) == 0;
    bool push_bp = at[0] == 0x55;
    bool sub_sp = memcmp(at, "\x48\x83\xec\x08", 4) == 0; /* _init, _fini */
    bool ret = at[0] == 0xc3 || at[0] == 0xc2 || (at[0] == 0xf3 && at[1] == 0xc3) ||
               (at[0] == 0xf2 && at[1] == 0xc3);
    bool stub = (at[0] == 0xff && at[1] == 0x25) ||
                (at[0] == 0xf2 && at[1] == 0xff && at[2] == 0x25) ||
                (at[0] == 0x68 && (at[5] == 0xe9 || (at[5] == 0xf2 && at[6] == 0xe9)));
    bool stub_pushed = (at[0] == 0xe9 || (at[0] == 0xf2 && at[1] == 0xe9)) && at[-5] == 0x68;
    bool mov_bp = at[-1] == 0x55 &&
                  (memcmp(at, "\x48\x89\xe5", 3) == 0 || memcmp(at, "\x48\x8b\xec", 3) == 0);
    bool pop_bp = at[0] == 0x5d && at[1] == 0xc3;
    uint64_t cfa = endbr || push_bp || sub_sp || ret || stub ? 8
                   : stub_pushed || mov_bp || pop_bp         ? 16
                                                             : 0;
    if (cfa && walk_load(f->w, f->m.reg[CFI_RSP] + cfa - 8, &ra) && walk_is_code(ra - 1))
        return step_by_sp(f, cfa, mov_bp || pop_bp);
    return step_by_frame(f);
}

/* All registers of what a signal interrupted, from the context that the kernel left at the stack
 * pointer. */
static bool step_over_signal(struct unwound *f) {
    uint64_t context = f->m.reg[CFI_RSP] + offsetof(ucontext_t, uc_mcontext.gregs);
    for (unsigned reg = 0; reg < CFI_REGS; reg++)
        if (!walk_load(f->w, context + 8 * (uint64_t)greg[reg], &f->m.reg[reg])) {
            f->w->end = WALK_UNREADABLE;
            return false;
        }
    f->m.known = ALL;
    f->exact = true;
    f->w->end = WALK_ENDLESS;
    return ++f->turns <= MAX_TURNS;
}

static void begin(struct unwound *f) {
    for (unsigned reg = 0; reg < CFI_REGS; reg++)
        f->m.reg[reg] = (uint64_t)f->w->context->uc_mcontext.gregs[greg[reg]];
    f->m.known = ALL;
    f->m.load = load;
    f->m.arg = f->w;
    f->exact = true;
    f->turns = 0;
    f->w->seen = 0;
}

static bool step_in_full(struct unwound *f) {
    uint8_t buf[RECORDS];
    struct cfi_entry e;
    struct cfi_row row;
    uint64_t sp = f->m.reg[CFI_RSP];
    struct cfi_machine m = f->m;
    f->w->end = WALK_NO_RULE;
    if (!rules_row(f->w, place(f), &e, &row, buf, sizeof buf))
        return false;
    switch (cfi_step(&e, &row, &m)) {
    case CFI_STEP_OK: break;
    case CFI_STEP_ROOT: f->w->end = WALK_ROOT; return false;
    case CFI_STEP_BAD: f->w->end = WALK_UNREADABLE; return false;
    case CFI_STEP_UNKNOWN_REGISTER:
        if (f->thorough)
            return false;
        f->thorough = true;
        begin(f);
        return true;
    }
    f->w->end = m.reg[CFI_RA] ? WALK_ENDLESS : WALK_ROOT;
    f->m = m;
    f->exact = false;
    return m.reg[CFI_RA] && (m.reg[CFI_RSP] > sp || ++f->turns <= MAX_TURNS);
}

/* Executing what is no code: a library that was loaded just now, or a call through a bad pointer,
 * which has pushed its return address. */
static bool step_from_nowhere(struct unwound *f) {
    uint64_t ra;
    f->w->end = WALK_NOT_CODE;
    if (!f->exact)
        return false;
    if (modules_refresh_for(place(f))) {
        rules_begin(f->w);
        return true;
    }
    walk_add(f->w, place(f));
    return walk_load(f->w, f->m.reg[CFI_RSP], &ra) && ra && walk_is_code(ra - 1) &&
           step_by_sp(f, 8, false);
}

/* To the caller of a frame that walk_simple() left to us; false with w->end set at the end of the
 * walk. */
static bool step(struct unwound *f, uint32_t rule) {
    struct walk *w = f->w;
    switch (cfi_kind(rule)) {
    case CFI_NOTHING: return step_from_nowhere(f);
    case CFI_ROOT:
        walk_add(w, place(f));
        w->end = WALK_ROOT;
        return false;
    case CFI_TRAMPOLINE: walk_add(w, frame_special(FRAME_SIGNAL)); return step_over_signal(f);
    case CFI_BY_FRAME: {
        walk_add(w, place(f));
        if (f->exact && rules_is_trampoline(f->m.reg[CFI_RA]))
            return step_over_signal(f);
        return f->exact ? step_by_bytes(f) : step_by_frame(f);
    }
    default: walk_add(w, place(f)); return step_in_full(f);
    }
}

static void cfi_walk(struct walk *w) {
    struct unwound f = {.w = w};
    uint32_t rule;
    rules_begin(w);
    begin(&f);
    do {
        rule = f.thorough ? rules_find(w, place(&f)) : walk_simple(&f);
        if (cfi_kind(rule) == CFI_NOTHING && w->end != WALK_NOT_CODE && !f.thorough)
            return;
        if (w->seen > MAX_STEPS) {
            w->end = WALK_ENDLESS;
            return;
        }
    } while (step(&f, rule));
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
