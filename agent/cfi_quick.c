/*
 * ANYWHERE. Why a second interpreter: the full one keeps 17 registers, copies them at each
 * "remember" and looks for the end of its bytes before each of them; a rule needs three numbers.
 * Whatever is unusual in the slightest ends with false, so that this one has no odd cases of its
 * own.
 */
#include "agent/cfi_quick.h"

#include <stddef.h>
#include <string.h>

enum { PCREL_SDATA4 = 0x1b, HEAD = 4 + 4 + 4 + 4 + 1, WORD = 8 };

struct state {
    uint32_t reg, cfa, bp; /* CFA = reg + cfa; rbp is saved at CFA - 8 * bp, 0: is the caller's */
    uint32_t expression;   /* of the CFA, how far behind the record's beginning; 0: none */
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

struct run {
    const uint8_t *record, *p, *end;
    uint64_t left; /* bytes of the function up to the place that is asked for */
    struct state s, kept;
    bool keeps;
    uint64_t unusual; /* lowest bit: something was */
};

/* Some of these bytes may lie behind the program's end. Who reads an operand there has gone too
 * far, and run() sees that. */
static inline uint64_t word_at(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* Up to three bytes. */
static inline uint32_t number(struct run *x, uint64_t word) {
    uint32_t n = word & 0x7f;
    x->p++;
    if (word & 0x80) {
        n |= word >> 1 & 0x3f80;
        x->p++;
        if (word & 0x8000) {
            n |= word >> 2 & 0x1fc000;
            x->p++;
            x->unusual |= word >> 23;
        }
    }
    return n;
}

/* 0x80 with a register, and a number of one byte. */
static inline bool is_save(uint64_t word) { return (word & 0x80c0) == 0x0080; }

static inline void save(struct run *x, uint64_t word) {
    static const uint64_t preserved = 1 << CFI_RBX | 1 << CFI_RBP | 0xf << CFI_R12;
    uint32_t reg = word & 0x3f, at = word >> 8 & 0x7f;
    x->unusual |= ~(preserved >> reg) | (reg == CFI_RBP && at == 0);
    x->s.bp = reg == CFI_RBP ? at : x->s.bp;
    x->p += 2;
}

/* To the caller's, which is how all but RA begin. */
static inline void restore(struct run *x, unsigned reg) {
    x->unusual |= reg == CFI_RA;
    x->s.bp = reg == CFI_RBP ? 0 : x->s.bp;
}

static inline void set_register(struct run *x, uint64_t word) {
    x->s.reg = word & 0xff;
    x->unusual |= x->s.reg >= CFI_REGS;
    x->p++;
}

static inline void execute_rare(struct run *x, unsigned op, uint64_t operands) {
    switch (op) {
    case 0x00: break; /* nop */
    case 0x0c:        /* def_cfa */
        set_register(x, operands);
        x->s.cfa = number(x, operands >> 8);
        x->s.expression = 0;
        break;
    case 0x0d: /* def_cfa_register */
        set_register(x, operands);
        x->unusual |= x->s.expression != 0;
        break;
    case 0x0f: /* def_cfa_expression */
        x->s.expression = (uint32_t)(x->p - x->record);
        x->p += 1 + (operands & 0x7f);
        x->unusual |= operands >> 7;
        break;
    case 0x2e: number(x, operands); break; /* GNU_args_size */
    default: x->unusual = 1;
    }
}

/* How far it advances. */
static inline uint64_t execute(struct run *x, uint64_t word) {
    unsigned op = word & 0xff;
    uint64_t operands = word >> 8;
    x->p++;
    if (op >> 6 == 1)
        return op & 0x3f;
    if (op == 0x02 || op == 0x03 || op == 0x04) { /* advance_loc1, 2, 4 */
        unsigned n = op == 0x04 ? 4 : op - 1;
        x->p += n;
        return operands & (((uint64_t)1 << 8 * n) - 1);
    }
    if (op == 0x0a) { /* remember_state; one within another is unusual */
        x->unusual |= x->keeps;
        x->keeps = true;
        x->kept = x->s;
    } else if (op == 0x0b) { /* restore_state */
        x->unusual |= !x->keeps;
        x->keeps = false;
        x->s = x->kept;
    } else if (op == 0x0e) { /* def_cfa_offset */
        x->s.cfa = number(x, operands);
        x->s.expression = 0;
    } else if (op >> 6 == 3) {
        restore(x, op & 0x3f);
    } else if (is_save(word)) {
        x->p--;
        save(x, word);
    } else {
        execute_rare(x, op, operands);
    }
    return 0;
}

/*
 * To the row that holds there; false at what is not usual. Nine of ten rows are: advance (2 bits of
 * 0x40), def_cfa_offset (0x0e), then what was saved. They are spelled out, and all state is in
 * registers, for a processor then runs ahead of itself: a general step per instruction, or state in
 * memory, takes twice the time.
 */
static bool run(struct run *inout) {
    struct run x = *inout;
    while (x.p < x.end && !(x.unusual & 1)) {
        uint64_t word = word_at(x.p), by;
        if ((word & 0xffc0) == 0x0e40) {
            by = word & 0x3f;
            if (by > x.left)
                break;
            x.p += 2;
            x.s.cfa = number(&x, word >> 16);
            x.s.expression = 0;
            while (x.p < x.end && is_save(word = word_at(x.p)))
                save(&x, word);
        } else {
            by = execute(&x, word);
            if (by > x.left)
                break;
        }
        x.left -= by;
    }
    inout->s = x.s;
    return !(x.unusual & 1) && x.p <= x.end;
}

/* False: a PLT's expression, which depends on pc. What does not fit is interpreted at each step. */
static bool pack(struct cfi_bytes bytes, size_t at, const struct state *s, uint32_t *ret_rule) {
    unsigned from;
    bool fits = s->cfa % 8 == 0 && s->cfa / 8 <= CFI_CFA_MAX && s->bp <= CFI_BP_MAX &&
                (s->reg == CFI_RSP || s->reg == CFI_RBP) && !s->expression;
    enum cfi_kind kind = !fits ? CFI_FULL : s->reg == CFI_RSP ? CFI_BY_SP : CFI_BY_BP;
    *ret_rule = cfi_rule(kind, fits ? s->cfa / 8 : 0, fits ? s->bp : 0);
    return !s->expression || !cfi_expr_is_plt(bytes, (uint32_t)at + s->expression, &from);
}

bool cfi_quick(struct cfi_bytes bytes, size_t at, struct cfi_usual *usual, uint64_t pc,
               uint32_t *ret_rule, bool *ret_last) {
    uint32_t head[4]; /* length, distance of the shared record, start, size */
    if (bytes.n < HEAD + WORD || at > bytes.n - HEAD - WORD || bytes.n > UINT32_MAX)
        return false;
    const uint8_t *p = bytes.at + at;
    memcpy(head, p, sizeof head);
    if (head[0] < HEAD - 4 || head[0] > bytes.n - at - 4 - WORD || head[1] > at + 4 ||
        !known_usual(bytes, at + 4 - head[1], usual))
        return false;
    uint64_t start = bytes.address + at + 8 + (uint64_t)(int64_t)(int32_t)head[2];
    const uint8_t *end = p + 4 + head[0], *own = p + HEAD + p[HEAD - 1];
    if (head[3] > INT32_MAX || start + head[3] < start || pc - start >= head[3] ||
        p[HEAD - 1] >= 0x80 || own > end)
        return false;
    struct run x = {
        .record = p, .p = own, .end = end, .left = pc - start, .s = {.reg = CFI_RSP, .cfa = 8}};
    *ret_last = pc - start + 1 == head[3];
    return run(&x) && pack(bytes, at, &x.s, ret_rule);
}
