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

/* From here on an advance could reach beyond the end of memory: garbage to the full one. */
#define LAST_BYTES ((uint64_t)-1 << 33)

struct state {
    uint64_t cfa; /* CFA = reg + cfa; from bit 32 on: how far behind the record's beginning its
                     expression is */
    uint32_t reg;
    uint32_t bp; /* the instruction that saved rbp: 0x86, then where; 0: it is the caller's */
};

static __attribute__((noinline)) bool is_usual(struct cfi_bytes bytes, size_t at) {
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
static bool known_usual(const struct cfi_bytes *bytes, size_t at, struct cfi_usual *usual) {
    _Atomic(uint32_t) *slot = &usual->at[at / 4 % CFI_USUAL];
    if (atomic_load_explicit(slot, memory_order_relaxed) == at && at != 0)
        return true;
    if (!is_usual(*bytes, at))
        return false;
    atomic_store_explicit(slot, (uint32_t)at, memory_order_relaxed);
    return true;
}

struct run {
    const uint8_t *record, *p, *end;
    uint64_t left; /* bytes of the function up to the place that is asked for */
    struct state s, kept;
    uint64_t saved; /* a bit for each register that was, at any time */
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
    x->saved |= (uint64_t)1 << (word & 0x3f);
    x->s.bp = (word & 0xff) == (0x80 | CFI_RBP) ? word & 0xffff : x->s.bp;
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
        break;
    case 0x0d: /* def_cfa_register */
        set_register(x, operands);
        x->unusual |= x->s.cfa > UINT32_MAX;
        break;
    case 0x0f: /* def_cfa_expression */
        x->s.cfa = (uint64_t)(x->p - x->record) << 32;
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
    } else if (op >> 6 == 3) {
        restore(x, op & 0x3f);
    } else {
        execute_rare(x, op, operands);
    }
    return 0;
}

/* Rows as compilers write them, first byte lowest: advance (0x40 and how far), def_cfa_offset
 * (0x0e) and a number; in a prologue one of one byte, and then the register that was pushed. */
static inline bool is_push(uint64_t word) { return (word & 0x80c080ffc0) == 0x80000e40; }
static inline bool is_row(uint64_t word) { return (word & 0xffc0) == 0x0e40; }

/*
 * To the row that holds there; false at what is not usual. What nine of ten rows are is spelled
 * out, and all state is in registers, for a processor then runs ahead of itself: a general step per
 * instruction, or state in memory, takes twice the time. What was saved is judged at the end.
 */
static bool run(struct run *inout) {
    static const uint64_t preserved = 1 << CFI_RBX | 1 << CFI_RBP | 0xf << CFI_R12;
    struct run x = *inout;
    while (x.p < x.end) {
        uint64_t word = word_at(x.p), by = word & 0x3f;
        if (is_push(word)) {
            if (by > x.left)
                break;
            x.left -= by;
            x.s.cfa = word >> 16 & 0xff;
            save(&x, word >> 24);
            x.p += 5;
        } else if (is_row(word)) {
            if (by > x.left)
                break;
            x.left -= by;
            x.p += 2;
            x.s.cfa = number(&x, word >> 16);
        } else if (is_save(word)) {
            save(&x, word);
            x.p += 2;
        } else {
            by = execute(&x, word);
            if (by > x.left)
                break;
            x.left -= by;
            if (x.unusual & 1)
                return false;
        }
    }
    inout->s = x.s;
    return x.p <= x.end && !(x.unusual & 1) && !(x.saved & ~preserved) &&
           x.s.bp != (0x80 | CFI_RBP);
}

/* 0: a PLT's expression, which depends on pc. What does not fit is interpreted at each step. */
static inline uint32_t pack(const struct cfi_bytes *bytes, size_t at, const struct state *s) {
    uint32_t expression = s->cfa >> 32, bp = s->bp >> 8;
    unsigned from;
    if (s->cfa % 8 == 0 && s->cfa / 8 <= CFI_CFA_MAX && bp <= CFI_BP_MAX &&
        (s->reg == CFI_RSP || s->reg == CFI_RBP))
        return cfi_rule(s->reg == CFI_RSP ? CFI_BY_SP : CFI_BY_BP, (uint32_t)s->cfa / 8, bp);
    if (expression && cfi_expr_is_plt(*bytes, (uint32_t)at + expression, &from))
        return 0;
    return cfi_rule(CFI_FULL, 0, 0);
}

uint32_t cfi_quick(const struct cfi_bytes *bytes, size_t at, struct cfi_usual *usual, uint64_t pc) {
    uint32_t head[4]; /* length, distance of the shared record, start, size */
    if (bytes->n < HEAD + WORD || at > bytes->n - HEAD - WORD || bytes->n > UINT32_MAX)
        return 0;
    const uint8_t *p = bytes->at + at;
    memcpy(head, p, sizeof head);
    if (head[0] < HEAD - 4 || head[0] > bytes->n - at - 4 - WORD || head[1] > at + 4 ||
        !known_usual(bytes, at + 4 - head[1], usual))
        return 0;
    uint64_t start = bytes->address + at + 8 + (uint64_t)(int64_t)(int32_t)head[2];
    const uint8_t *end = p + 4 + head[0], *own = p + HEAD + p[HEAD - 1];
    if (head[3] > INT32_MAX || start >= LAST_BYTES || pc - start >= head[3] ||
        p[HEAD - 1] >= 0x80 || own > end)
        return 0;
    struct run x = {
        .record = p, .p = own, .end = end, .left = pc - start, .s = {.reg = CFI_RSP, .cfa = 8}};
    uint32_t rule = run(&x) ? pack(bytes, at, &x.s) : 0;
    return rule && pc - start + 1 == head[3] ? rule | CFI_QUICK_LAST : rule;
}
