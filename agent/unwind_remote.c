/*
 * ANYWHERE. The stack of a blocked thread from its pc and sp, x86-64. Unwind tables need little
 * more: where a frame lies by rsp, nothing; where it lies by rbp, the register itself, unless a
 * function further down has saved it, which most of those around a system call have not.
 *
 * Then the stack is searched for the frame. A place for rbp is right if its rule leads to a return
 * address that lies in code and behind a call instruction, and the callers from there on hold, too.
 * Best is a call of just this function; a call through a register or memory may be one; a call of
 * another function can only be one if that function ended in a jump. What the function's first
 * instructions take from rsp says where the search begins, which passes over what earlier calls
 * have left behind in its variables.
 */
#include <string.h>

#include "agent/rules.h"
#include "agent/unwound.h"
#include "common/sys.h"

enum { FAR = 256 << 10, ENOUGH = 16 << 10, AHEAD = 24, NEAR = 8 };
enum rank { RANK_NONE, RANK_OTHER_CALL, RANK_ANY_CALL, RANK_THIS_CALL };

/* Calls ------------------------------------------------------------------------------------------
 */

/* How long an instruction's address part is, its ModRM byte included. */
static unsigned modrm_length(const uint8_t *at) {
    unsigned mod = at[0] >> 6, rm = at[0] & 7;
    bool sib = mod != 3 && rm == 4;
    bool wide = mod == 2 || (mod == 0 && (rm == 5 || (sib && (at[1] & 7) == 5)));
    return 1 + sib + (mod == 1) + (wide ? 4 : 0);
}

/* A PLT stub, or a function that ends in a jump there. */
static bool leads_to(struct walk *w, uint64_t stub, uint64_t function) {
    uint8_t b[256];
    int32_t to;
    uint64_t target;
    ssize_t n = sys_peek((const void *)stub, b, sizeof b);
    for (ssize_t i = 0; i + 5 <= n; i++) {
        memcpy(&to, b + i + 1, sizeof to);
        if (b[i] == 0xe9 && stub + (uint64_t)i + 5 + (uint64_t)(int64_t)to == function)
            return true;
    }
    if (n < 16)
        return false;
    unsigned at = memcmp(b, "\xf3\x0f\x1e\xfa", 4) == 0 ? 4 : 0;
    at += b[at] == 0xf2;
    if (b[at] != 0xff || b[at + 1] != 0x25)
        return false;
    memcpy(&to, b + at + 2, sizeof to);
    return walk_load(w, stub + at + 6 + (uint64_t)(int64_t)to, &target) && target == function;
}

/* What the instruction in front of a return address says about who was called. */
static enum rank rank_call(struct walk *w, uint64_t ra, uint64_t function) {
    enum { LONGEST = 7 };
    uint8_t b[LONGEST + 1] = {0};
    int32_t to;
    uint64_t target;
    const struct module_range *r = module_range_find(ra - 1);
    if (!r || ra - r->start < LONGEST ||
        sys_peek((const void *)(ra - LONGEST), b, LONGEST) != LONGEST)
        return RANK_NONE;
    memcpy(&to, b + LONGEST - 4, sizeof to);
    target = ra + (uint64_t)(int64_t)to;
    if (b[LONGEST - 5] == 0xe8 && function && (target == function || leads_to(w, target, function)))
        return RANK_THIS_CALL;
    if (b[LONGEST - 6] == 0xff && b[LONGEST - 5] == 0x15)
        return walk_load(w, target, &target) && target == function ? RANK_THIS_CALL : RANK_ANY_CALL;
    for (unsigned n = 2; n <= LONGEST; n++) {
        const uint8_t *at = b + LONGEST - n;
        if (at[0] == 0xff && (at[1] & 0x38) == 0x10 && modrm_length(at + 1) == n - 1)
            return RANK_ANY_CALL;
    }
    return b[LONGEST - 5] == 0xe8 && module_range_find(target) ? RANK_OTHER_CALL : RANK_NONE;
}

bool walk_follows_call(struct walk *w, uint64_t ra) { return rank_call(w, ra, 0) != RANK_NONE; }

/* Guesses ----------------------------------------------------------------------------------------
 */

/* To the caller by a rule of any kind. */
static bool step_in_full(struct walk *w, struct cfi_machine *m) {
    uint8_t buf[UNWOUND_RECORDS];
    struct cfi_entry e;
    struct cfi_row row;
    uint64_t sp = m->reg[CFI_RSP];
    return rules_row(w, m->reg[CFI_RA] - 1, &e, &row, buf, sizeof buf) &&
           cfi_step(&e, &row, m) == CFI_STEP_OK && m->reg[CFI_RSP] > sp &&
           rank_call(w, m->reg[CFI_RA], 0) != RANK_NONE;
}

/* The next callers hold: each rule leads upwards to a call, as far as simple rules go. With a place
 * to meet: they lead there. */
static bool holds(const struct unwound *from, const struct unwound *meet) {
    struct walk *w = from->w;
    struct cfi_machine m = from->m;
    for (unsigned i = 0; i < AHEAD; i++) {
        if (meet && m.reg[CFI_RSP] >= meet->m.reg[CFI_RSP])
            return m.reg[CFI_RSP] == meet->m.reg[CFI_RSP] && m.reg[CFI_RA] == meet->m.reg[CFI_RA];
        uint32_t rule = rules_find(w, m.reg[CFI_RA] - 1), saved = cfi_bp_bytes(rule);
        enum cfi_kind kind = cfi_kind(rule);
        if (kind == CFI_NOTHING || kind == CFI_PLT)
            return false;
        if (kind == CFI_FULL && step_in_full(w, &m))
            continue;
        if ((kind != CFI_BY_SP && kind != CFI_BY_BP) ||
            (kind == CFI_BY_BP && !(m.known >> CFI_RBP & 1)))
            return !meet && kind != CFI_FULL;
        uint64_t cfa = m.reg[kind == CFI_BY_SP ? CFI_RSP : CFI_RBP] + cfi_cfa_bytes(rule);
        if (cfa <= m.reg[CFI_RSP] || !walk_load(w, cfa - 8, &m.reg[CFI_RA]) ||
            (saved && !walk_load(w, cfa - saved, &m.reg[CFI_RBP])))
            return false;
        m.reg[CFI_RSP] = cfa;
        m.known |= saved ? 1u << CFI_RBP : 0;
        if (rank_call(w, m.reg[CFI_RA], 0) == RANK_NONE && !rules_is_trampoline(m.reg[CFI_RA]))
            return false;
    }
    return !meet;
}

struct guess {
    struct unwound *f;
    bool has_row; /* otherwise the function is one without tables, and rbp points to its record */
    struct cfi_entry entry;
    struct cfi_row row;
    enum rank rank;
    struct unwound best;
    uint64_t found_at;
};

/* The caller's registers if rbp were that. */
static bool step_with(const struct guess *g, uint64_t bp, struct cfi_machine *m) {
    *m = g->f->m;
    m->reg[CFI_RBP] = bp;
    m->known |= 1u << CFI_RBP;
    if (g->has_row)
        return cfi_step(&g->entry, &g->row, m) == CFI_STEP_OK;
    m->known = UNWOUND_BASIC;
    m->reg[CFI_RSP] = bp + 16;
    return walk_load(g->f->w, bp, &m->reg[CFI_RBP]) && m->reg[CFI_RBP] > bp &&
           m->reg[CFI_RBP] - bp < FAR && walk_load(g->f->w, bp + 8, &m->reg[CFI_RA]);
}

static void try_place(struct guess *g, uint64_t bp) {
    struct unwound out = *g->f;
    if (!step_with(g, bp, &out.m) || out.m.reg[CFI_RSP] <= g->f->m.reg[CFI_RSP])
        return;
    enum rank rank = rank_call(g->f->w, out.m.reg[CFI_RA], g->has_row ? g->entry.start : 0);
    if (rank < RANK_THIS_CALL && out.m.reg[CFI_RSP] % 16)
        return; /* no compiler calls from there */
    if (rank <= g->rank || !holds(&out, NULL))
        return;
    if (g->rank && holds(&g->best, &out)) {
        g->rank = RANK_THIS_CALL; /* a function that calls itself: the inner call it is */
        return;
    }
    out.exact = out.lacks_bp = false;
    g->rank = rank;
    g->best = out;
    g->found_at = bp;
}

static void search(struct guess *g, uint64_t from, uint64_t to) {
    for (uint64_t bp = from & ~(uint64_t)7; bp < to && g->rank < RANK_THIS_CALL; bp += 8) {
        uint64_t word;
        if ((g->rank && bp > g->found_at + ENOUGH) || !walk_load(g->f->w, bp, &word))
            return;
        try_place(g, bp);
    }
}

/* Bytes between rsp and rbp at least: registers saved there. */
static uint64_t saved_bytes(const struct guess *g) {
    int32_t lowest = -16;
    for (unsigned reg = 0; g->has_row && reg < CFI_RSP; reg++)
        if (g->row.how[reg] == CFI_AT && g->row.value[reg] < lowest)
            lowest = g->row.value[reg];
    return (uint64_t)(-16 - lowest);
}

/* What the function takes from rsp for its variables, behind mov rbp, rsp; 0: not seen. */
static uint64_t variables_bytes(const struct guess *g) {
    uint8_t b[96] = {0};
    size_t n = g->has_row ? g->entry.end - g->entry.start : 0;
    n = n < sizeof b - 8 ? n : sizeof b - 8;
    if (!n || sys_peek((const void *)g->entry.start, b, n) != (ssize_t)n)
        return 0;
    bool has_frame = false;
    for (size_t i = 0; i < n; i++) {
        has_frame |= memcmp(b + i, "\x48\x89\xe5", 3) == 0 || memcmp(b + i, "\x48\x8b\xec", 3) == 0;
        int32_t wide;
        memcpy(&wide, b + i + 3, sizeof wide);
        if (has_frame && memcmp(b + i, "\x48\x83\xec", 3) == 0)
            return b[i + 3];
        if (has_frame && memcmp(b + i, "\x48\x81\xec", 3) == 0)
            return wide > 0 ? (uint64_t)wide : 0;
        if (has_frame && memcmp(b + i, "\x48\x83\xc4", 3) == 0 && (b[i + 3] & 0x80))
            return (uint64_t)(256 - b[i + 3]);
    }
    return 0;
}

static bool guess(struct unwound *f) {
    uint8_t buf[UNWOUND_RECORDS];
    struct guess g = {.f = f};
    uint64_t sp = f->m.reg[CFI_RSP];
    g.has_row = rules_row(f->w, unwound_place(f), &g.entry, &g.row, buf, sizeof buf);
    uint64_t below = variables_bytes(&g), least = saved_bytes(&g);
    if (below)
        search(&g, sp + below + least, sp + below + least + 8 * NEAR);
    if (!g.rank)
        search(&g, sp + least, sp + FAR);
    f->w->end = WALK_NO_RULE;
    if (!g.rank)
        return false;
    f->m = g.best.m;
    f->exact = f->lacks_bp = false;
    f->w->guessed++;
    return true;
}

/* The walk
 * ----------------------------------------------------------------------------------------- */

static bool step_simply(struct unwound *f, uint32_t rule) {
    struct walk *w = f->w;
    uint64_t *reg = f->m.reg, sp = reg[CFI_RSP];
    uint64_t cfa = reg[cfi_kind(rule) == CFI_BY_SP ? CFI_RSP : CFI_RBP] + cfi_cfa_bytes(rule);
    uint32_t saved = cfi_bp_bytes(rule);
    w->end = WALK_UNREADABLE;
    if (!walk_load(w, cfa - 8, &reg[CFI_RA]) ||
        (saved && !walk_load(w, cfa - saved, &reg[CFI_RBP])))
        return false;
    w->end = cfa <= sp ? WALK_ENDLESS : WALK_ROOT;
    if (cfa <= sp || reg[CFI_RA] == 0)
        return false;
    reg[CFI_RSP] = cfa;
    f->m.known = saved ? UNWOUND_BASIC : f->m.known & UNWOUND_BASIC;
    f->exact = false;
    return true;
}

static bool step(struct unwound *f) {
    uint32_t rule = rules_find(f->w, unwound_place(f));
    enum cfi_kind kind = cfi_kind(rule);
    if (f->thorough || (kind != CFI_BY_SP && kind != CFI_BY_BP))
        return unwound_step(f, rule) || (f->lacks_bp && guess(f));
    walk_add(f->w, unwound_place(f));
    return kind == CFI_BY_SP || unwound_knows_bp(f) ? step_simply(f, rule) : guess(f);
}

void walk_remote(struct walk *w) {
    struct unwound f = {.w = w};
    rules_begin(w);
    unwound_begin(&f);
    w->end = WALK_NOT_CODE;
    while (step(&f))
        if (w->seen > UNWOUND_STEPS) {
            w->end = WALK_ENDLESS;
            return;
        }
}
