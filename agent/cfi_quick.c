/*
 * ANYWHERE. Why a second interpreter: the full one keeps 17 registers, copies them at each
 * "remember" and looks for the end of its bytes before each of them; a rule needs three numbers.
 * Whatever is unusual in the slightest ends with false, so that this one has no odd cases of its
 * own.
 */
#include "agent/cfi_quick.h"

#include <stddef.h>
#include <string.h>

enum { PCREL_SDATA4 = 0x1b, STATES = 4, HEAD = 4 + 4 + 4 + 4 + 1 };

struct state {
    uint32_t reg, cfa, bp; /* CFA = reg + cfa; rbp is saved at CFA - 8 * bp, 0: is the caller's */
};

static bool is_usual(struct cfi_bytes bytes, size_t at) {
    static const uint8_t program[] = {0x0c, CFI_RSP, 8, 0x80 | CFI_RA, 1};
    struct cfi_entry e = {.bytes = bytes};
    if (!cfi_shared_parse(&e, at) || e.code_align != 1 || e.data_align != -8 || e.ra != CFI_RA ||
        e.signal || !e.augmented || e.encoding != PCREL_SDATA4 ||
        e.shared.to - e.shared.from < sizeof program ||
        memcmp(bytes.at + e.shared.from, program, sizeof program) != 0)
        return false;
    for (uint32_t i = e.shared.from + sizeof program; i < e.shared.to; i++)
        if (bytes.at[i] != 0)
            return false;
    return true;
}

/* An offset is never 0: nobody writes an ELF header into unwind tables. */
static bool known_usual(struct cfi_bytes bytes, size_t at, struct cfi_usual *usual) {
    _Atomic(uint32_t) *slot = &usual->at[at / 4 % CFI_USUAL];
    if (atomic_load_explicit(slot, memory_order_relaxed) == at && at != 0)
        return true;
    if (!is_usual(bytes, at))
        return false;
    atomic_store_explicit(slot, (uint32_t)at, memory_order_relaxed);
    return true;
}

/* One or two bytes, that is up to 16383; ~0 for longer ones and past the end. */
static uint32_t number(const uint8_t **p, const uint8_t *end) {
    if (end - *p >= 1 && (*p)[0] < 0x80)
        return *(*p)++;
    if (end - *p < 2 || (*p)[1] >= 0x80)
        return ~(uint32_t)0;
    uint32_t v = ((*p)[0] & 0x7fu) | (uint32_t)(*p)[1] << 7;
    *p += 2;
    return v;
}

struct run {
    const uint8_t *p, *end;
    uint64_t left; /* bytes of the function up to the place that is asked for */
    struct state s, kept[STATES];
    unsigned depth;
};

enum outcome { MORE, THERE, UNUSUAL };
enum { ENOUGH = 1 << 20 }; /* more than number() gives, so ~0 is garbage everywhere */
static const uint64_t PRESERVED = 1 << CFI_RBX | 1 << CFI_RBP | 0xf << CFI_R12;

static enum outcome advance(struct run *x, uint32_t by) {
    if (by > x->left)
        return THERE;
    x->left -= by;
    return MORE;
}

static enum outcome save(struct run *x, unsigned reg, uint32_t at) {
    if (at > ENOUGH || !(PRESERVED >> reg & 1) || (reg == CFI_RBP && at == 0))
        return UNUSUAL;
    x->s.bp = reg == CFI_RBP ? at : x->s.bp;
    return MORE;
}

/* To the caller's, which is how all but RA begin. */
static enum outcome restore(struct run *x, unsigned reg) {
    if (reg == CFI_RA)
        return UNUSUAL;
    x->s.bp = reg == CFI_RBP ? 0 : x->s.bp;
    return MORE;
}

static enum outcome execute_rare(struct run *x, uint8_t op) {
    uint16_t two;
    switch (op) {
    case 0x00: return MORE; /* nop */
    case 0x03:              /* advance_loc2 */
        if (x->end - x->p < 2)
            return UNUSUAL;
        memcpy(&two, x->p, sizeof two);
        x->p += 2;
        return advance(x, two);
    case 0x0a: /* remember_state */
        if (x->depth == STATES)
            return UNUSUAL;
        x->kept[x->depth++] = x->s;
        return MORE;
    case 0x0b: /* restore_state */
        if (x->depth == 0)
            return UNUSUAL;
        x->s = x->kept[--x->depth];
        return MORE;
    case 0x2e: return number(&x->p, x->end) > ENOUGH ? UNUSUAL : MORE; /* GNU_args_size */
    default: return UNUSUAL;
    }
}

static enum outcome execute(struct run *x) {
    uint8_t op = *x->p++;
    switch (op >> 6) {
    case 1: return advance(x, op & 0x3f);
    case 2: return save(x, op & 0x3f, number(&x->p, x->end));
    case 3: return restore(x, op & 0x3f);
    }
    switch (op) {
    case 0x02: return x->p < x->end ? advance(x, *x->p++) : UNUSUAL; /* advance_loc1 */
    case 0x0c:                                                       /* def_cfa */
        x->s.reg = number(&x->p, x->end);
        x->s.cfa = number(&x->p, x->end);
        break;
    case 0x0d: x->s.reg = number(&x->p, x->end); break; /* def_cfa_register */
    case 0x0e: x->s.cfa = number(&x->p, x->end); break; /* def_cfa_offset */
    default: return execute_rare(x, op);
    }
    return x->s.cfa > ENOUGH || x->s.reg >= CFI_REGS ? UNUSUAL : MORE;
}

/*
 * A push and a pop as compilers describe them, all of it in one word that is compared at once:
 * advance (2 bits of 0x40), def_cfa_offset (0x0e) n; and for a push also offset (2 bits of 0x80) n.
 * Instruction by instruction a processor that has not seen this function may guess wrong at each.
 */
enum { POP_BYTES = 3, PUSH_BYTES = 5 };
static const uint64_t POP_MASK = 0x80ffc0, POP = 0x000e40;
static const uint64_t PUSH_MASK = 0x80c080ffc0, PUSH = 0x0080000e40;

static enum outcome execute_word(struct run *x, uint64_t word, bool push) {
    if (advance(x, word & 0x3f) == THERE)
        return THERE;
    x->s.cfa = word >> 16 & 0x7f;
    x->p += push ? PUSH_BYTES : POP_BYTES;
    return push ? save(x, word >> 24 & 0x3f, word >> 32 & 0x7f) : MORE;
}

/* False at what is not usual. */
static bool run(struct run *x) {
    enum outcome out = MORE;
    while (out == MORE && x->p < x->end) {
        uint64_t word = 0;
        if (x->end - x->p >= (ptrdiff_t)sizeof word)
            memcpy(&word, x->p, sizeof word);
        bool push = (word & PUSH_MASK) == PUSH;
        out = push || (word & POP_MASK) == POP ? execute_word(x, word, push) : execute(x);
    }
    return out != UNUSUAL;
}

bool cfi_quick(struct cfi_bytes bytes, size_t at, struct cfi_usual *usual, uint64_t pc,
               uint32_t *ret_rule, bool *ret_last) {
    uint32_t head[4]; /* length, distance of the shared record, start, size */
    if (bytes.n < HEAD || at > bytes.n - HEAD || bytes.n > UINT32_MAX)
        return false;
    const uint8_t *p = bytes.at + at;
    memcpy(head, p, sizeof head);
    if (head[0] < HEAD - 4 || head[0] > bytes.n - at - 4 || head[1] > at + 4 ||
        !known_usual(bytes, at + 4 - head[1], usual))
        return false;
    uint64_t start = bytes.address + at + 8 + (uint64_t)(int64_t)(int32_t)head[2];
    const uint8_t *end = p + 4 + head[0], *own = p + HEAD + p[HEAD - 1];
    if (head[3] > INT32_MAX || start + head[3] < start || pc - start >= head[3] ||
        p[HEAD - 1] >= 0x80 || own > end)
        return false;
    struct run x;
    x.p = own, x.end = end, x.left = pc - start, x.depth = 0;
    x.s = (struct state){.reg = CFI_RSP, .cfa = 8};
    if (!run(&x))
        return false;
    const struct state s = x.s;
    if (s.cfa % 8 || s.cfa / 8 > CFI_CFA_MAX || s.bp > CFI_BP_MAX ||
        (s.reg != CFI_RSP && s.reg != CFI_RBP))
        return false;
    *ret_rule = cfi_rule(s.reg == CFI_RSP ? CFI_BY_SP : CFI_BY_BP, s.cfa / 8, s.bp);
    *ret_last = pc - start + 1 == head[3];
    return true;
}
