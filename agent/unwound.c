#include "agent/unwound.h"

#include <stddef.h>
#include <string.h>

#include "agent/rules.h"
#include "agent/stack.h"
#include "common/sys.h"

enum { MAX_TURNS = 64, LAND_BYTES = 64 << 10, ALL = (1 << CFI_REGS) - 1 };

/* rax rdx rcx rbx rsi rdi rbp rsp r8-r15 rip: what each DWARF number is in a ucontext. */
static const uint8_t greg[CFI_REGS] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                       REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                       REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};

static bool load(void *arg, uint64_t address, uint64_t *ret_word) {
    return walk_load(arg, address, ret_word);
}

/* Stacks grow down, so callers lie above; a few switches of stacks and signal frames excepted. */
static bool may_go_to(struct unwound *f, uint64_t sp) {
    return sp > f->m.reg[CFI_RSP] || ++f->turns <= MAX_TURNS;
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
    f->m.known = saved ? UNWOUND_BASIC : f->m.known & UNWOUND_BASIC;
    f->exact = false;
    return true;
}

/* Frame records {caller's record, return address}; the outermost is zero by the ABI. */
static bool step_by_frame(struct unwound *f) {
    struct walk *w = f->w;
    uint64_t bp = f->m.reg[CFI_RBP], next, ra;
    if (!unwound_knows_bp(f)) {
        w->end = WALK_NO_RULE;
        f->lacks_bp = true;
        return false;
    }
    /* boost.context begins a coroutine with its end both in rbp and as the return address. */
    bool root = bp == 0 || (!f->exact && bp == f->m.reg[CFI_RA]);
    w->end = root ? WALK_ROOT : WALK_NO_RULE;
    if (root || bp % 8 || (bp < f->m.reg[CFI_RSP] && !may_go_to(f, bp)))
        return false;
    if (!walk_load(w, bp, &next) || !walk_load(w, bp + 8, &ra))
        return false;
    w->end = WALK_ROOT;
    if (ra == 0)
        return false;
    f->m.reg[CFI_RA] = ra;
    f->m.reg[CFI_RSP] = bp + 16;
    f->m.reg[CFI_RBP] = next;
    f->m.known = UNWOUND_BASIC;
    f->exact = false;
    return true;
}

/* Assembly without tables that keeps no frame pointer (jump_fcontext): the first of the words at
 * the stack pointer that follows a call, unless the frame pointer leads to one. */
static bool step_by_search(struct unwound *f) {
    enum { WORDS = 16 };
    uint64_t bp = f->m.reg[CFI_RBP], sp = f->m.reg[CFI_RSP], ra;
    if (unwound_knows_bp(f) && (bp == 0 || (bp >= sp && walk_load(f->w, bp + 8, &ra) &&
                                            (ra == 0 || walk_follows_call(f->w, ra)))))
        return false;
    for (unsigned i = 0; i < WORDS; i++)
        if (walk_load(f->w, sp + 8 * i, &ra) && walk_follows_call(f->w, ra))
            return step_by_sp(f, 8 * i + 8, false);
    return false;
}

/* At an indirect jump, perhaps behind some moves between registers: it is as good as done. So ends
 * jump_fcontext, which has given up its stack by then, and assembly that calls its last function
 * so.
 */
static bool step_by_jump(struct unwound *f, const uint8_t *at, const uint8_t *end) {
    enum { RAX, RDX, RCX, RSI = 4, RDI };
    static const uint8_t by_code[] = {RAX, RCX, RDX, CFI_RBX, CFI_RSP, CFI_RBP, RSI, RDI,
                                      8,   9,   10,  11,      12,      13,      14,  15};
    uint32_t changed = 0;
    for (; at + 3 <= end && (at[0] & 0xfa) == 0x48 && at[1] == 0x89 && at[2] >= 0xc0; at += 3)
        changed |= 1u << by_code[(at[2] & 7) | (at[0] & 1) << 3];
    unsigned high = at + 3 <= end && at[0] == 0x41 ? 8 : 0;
    at += high / 8;
    if (at + 2 > end || at[0] != 0xff || (at[1] & 0xf8) != 0xe0)
        return false;
    unsigned reg = by_code[(at[1] & 7) | high];
    uint64_t to = f->m.reg[reg];
    if (changed & (1u << reg | 1u << CFI_RSP) || !(f->m.known & 1u << reg) || !walk_is_code(to))
        return false;
    f->m.reg[CFI_RA] = to;
    f->w->end = WALK_ENDLESS;
    return ++f->turns <= MAX_TURNS;
}

/* Bytes of a leaf whose function no table describes: has it built its frame record yet, or no
 * longer? */
enum { BEFORE = 8, AFTER = 16 };
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
    return step_by_jump(f, at, b + sizeof b) || step_by_search(f) || step_by_frame(f);
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

void unwound_begin(struct unwound *f) {
    const struct walk *w = f->w;
    for (unsigned reg = 0; reg < CFI_REGS && w->context; reg++)
        f->m.reg[reg] = (uint64_t)w->context->uc_mcontext.gregs[greg[reg]];
    f->m.known = ALL;
    if (!w->context) {
        f->m.reg[CFI_RA] = w->pc;
        f->m.reg[CFI_RSP] = w->sp;
        f->m.known = 1 << CFI_RA | 1 << CFI_RSP;
    }
    f->m.load = load;
    f->m.arg = f->w;
    f->exact = true;
    f->turns = 0;
    f->landing.seen = 0;
    f->w->seen = f->w->guessed = 0;
}

/*
 * The end of _Unwind_RaiseException and its kind, the only functions that save rax and rdx: the
 * slots of the saved registers get those of the frame with the landing pad, that of the return
 * address a copy of the one into that frame, while the stack pointer stays. Once rbp is no longer
 * saved, what is "returned" to is the landing pad itself, and its first instruction has not been
 * executed.
 */
static bool leaves_for_landing(struct unwound *f, const struct cfi_row *row) {
    if (!cfi_row_lands(row))
        return false;
    if (row->how[CFI_RBP] != CFI_AT)
        return true;
    if (f->w->seen <= walk_leaf_part(f->w))
        f->landing =
            (struct landing){f->m.reg[CFI_RA], f->m.reg[CFI_RSP], f->m.reg[CFI_RBP], f->w->seen};
    return false;
}

/* The original of the copied return address lies right below the frame that it leads to. */
bool unwound_land(struct unwound *f) {
    struct landing l = f->landing;
    uint64_t word = 0, sp = l.sp, end = l.sp + LAND_BYTES;
    f->landing.seen = 0;
    if (!l.seen || f->w->end == WALK_ROOT)
        return false;
    while (sp < end && walk_load(f->w, sp, &word) && word != l.pc)
        sp += 8;
    if (word != l.pc)
        return false;
    f->w->seen = l.seen;
    f->m.reg[CFI_RA] = l.pc;
    f->m.reg[CFI_RSP] = sp + 8;
    f->m.reg[CFI_RBP] = l.bp;
    f->m.known = UNWOUND_BASIC;
    f->exact = false;
    return true;
}

static bool step_in_full(struct unwound *f) {
    uint8_t buf[UNWOUND_RECORDS];
    struct cfi_entry e;
    struct cfi_row row;
    uint64_t sp = f->m.reg[CFI_RSP];
    struct cfi_machine m = f->m;
    f->w->end = WALK_NO_RULE;
    if (!rules_row(f->w, unwound_place(f), &e, &row, buf, sizeof buf))
        return false;
    switch (cfi_step(&e, &row, &m)) {
    case CFI_STEP_OK: break;
    case CFI_STEP_ROOT: f->w->end = WALK_ROOT; return false;
    case CFI_STEP_BAD: f->w->end = WALK_UNREADABLE; return false;
    case CFI_STEP_UNKNOWN_REGISTER:
        if (f->thorough) {
            f->lacks_bp = !unwound_knows_bp(f);
            return false;
        }
        f->thorough = true;
        unwound_begin(f);
        return true;
    }
    f->w->end = m.reg[CFI_RA] ? WALK_ENDLESS : WALK_ROOT;
    f->m = m;
    f->exact = leaves_for_landing(f, &row);
    return m.reg[CFI_RA] && (m.reg[CFI_RSP] > sp || ++f->turns <= MAX_TURNS);
}

/* The frame below it is a door of ours: what called that is code, known or not. */
static bool called_a_door(const struct walk *w) {
    return w->seen && w->pcs[w->seen - 1] - w->door_lo < w->door_n;
}

/* Executing what is no code: a library that was loaded just now, or a call through a bad pointer,
 * which has pushed its return address. */
static bool step_from_nowhere(struct unwound *f) {
    uint64_t ra;
    f->w->end = WALK_NOT_CODE;
    if (!f->exact && !called_a_door(f->w))
        return false;
    if (modules_refresh_for(unwound_place(f))) {
        rules_begin(f->w);
        return true;
    }
    if (!f->exact)
        return false;
    walk_add(f->w, unwound_place(f));
    return walk_load(f->w, f->m.reg[CFI_RSP], &ra) && ra && walk_is_code(ra - 1) &&
           step_by_sp(f, 8, false);
}

bool unwound_step(struct unwound *f, uint32_t rule) {
    struct walk *w = f->w;
    switch (cfi_kind(rule)) {
    case CFI_NOTHING: return step_from_nowhere(f);
    case CFI_ROOT:
        walk_add(w, unwound_place(f));
        w->end = WALK_ROOT;
        return false;
    case CFI_TRAMPOLINE: walk_add(w, frame_special(FRAME_SIGNAL)); return step_over_signal(f);
    case CFI_BY_FRAME: {
        walk_add(w, unwound_place(f));
        if (f->exact && rules_is_trampoline(f->m.reg[CFI_RA]))
            return step_over_signal(f);
        return f->exact ? step_by_bytes(f) : step_by_frame(f);
    }
    default: walk_add(w, unwound_place(f)); return step_in_full(f);
    }
}
