/*
 * ANYWHERE. DWARF expressions (DWARF 5, 2.5), as far as unwind tables use them: arithmetic,
 * registers, memory through the caller's reader, jumps. No calls, no types, bounded in stack and
 * steps.
 */
#include "agent/cfi.h"

#include "agent/cfi_read.h"

/* clang-format off */
enum {
    OP_ADDR = 0x03, OP_DEREF = 0x06, OP_CONST1U = 0x08, OP_CONST1S, OP_CONST2U, OP_CONST2S, OP_CONST4U,
    OP_CONST4S, OP_CONST8U, OP_CONST8S, OP_CONSTU, OP_CONSTS, OP_DUP, OP_DROP, OP_OVER, OP_PICK, OP_SWAP,
    OP_ROT, OP_ABS = 0x19, OP_AND, OP_DIV, OP_MINUS, OP_MOD, OP_MUL, OP_NEG, OP_NOT, OP_OR, OP_PLUS,
    OP_PLUS_UCONST, OP_SHL, OP_SHR, OP_SHRA, OP_XOR, OP_BRA, OP_EQ, OP_GE, OP_GT, OP_LE, OP_LT, OP_NE,
    OP_SKIP, OP_LIT0, OP_LIT31 = 0x4f, OP_BREG0 = 0x70, OP_BREG31 = 0x8f, OP_BREGX = 0x92,
    OP_DEREF_SIZE = 0x94, OP_NOP = 0x96,
};
/* clang-format on */

enum { STACK = 32, STEPS = 512 };

struct machine {
    const struct cfi_machine *m;
    struct cfi_reader r;
    const uint8_t *begin;
    uint64_t stack[STACK];
    unsigned n;
};

static void push(struct machine *x, uint64_t v) {
    if (x->n < STACK)
        x->stack[x->n++] = v;
    else
        x->r.bad = true;
}

static uint64_t pop(struct machine *x) {
    if (x->n)
        return x->stack[--x->n];
    x->r.bad = true;
    return 0;
}

static void pick(struct machine *x, unsigned depth) {
    if (depth < x->n)
        push(x, x->stack[x->n - 1 - depth]);
    else
        x->r.bad = true;
}

static void push_register(struct machine *x, uint64_t reg, int64_t offset) {
    if (reg < CFI_REGS && x->m->known >> reg & 1)
        push(x, x->m->reg[reg] + (uint64_t)offset);
    else
        x->r.bad = true;
}

static void deref(struct machine *x, unsigned size) {
    uint64_t word = 0;
    if (size == 0 || size > 8 || !x->m->load || !x->m->load(x->m->arg, pop(x), &word))
        x->r.bad = true;
    else
        push(x, size == 8 ? word : word & (((uint64_t)1 << 8 * size) - 1));
}

static void jump(struct machine *x, bool taken) {
    int16_t by = (int16_t)cfi_u16(&x->r);
    const ptrdiff_t at = x->r.p - x->begin + by;
    if (!taken)
        return;
    if (at < 0 || at > x->r.end - x->begin)
        x->r.bad = true;
    else
        x->r.p = x->begin + at;
}

static void swap_or_rotate(struct machine *x, unsigned n) {
    if (x->n < n) {
        x->r.bad = true;
        return;
    }
    uint64_t *s = &x->stack[x->n - n], top = s[n - 1];
    memmove(s + 1, s, (n - 1) * sizeof *s);
    s[0] = top;
}

static void constant(struct machine *x, uint8_t op) {
    struct cfi_reader *r = &x->r;
    switch (op) {
    case OP_CONST1U: push(x, cfi_u8(r)); break;
    case OP_CONST1S: push(x, (uint64_t)(int64_t)(int8_t)cfi_u8(r)); break;
    case OP_CONST2U: push(x, cfi_u16(r)); break;
    case OP_CONST2S: push(x, (uint64_t)(int64_t)(int16_t)cfi_u16(r)); break;
    case OP_CONST4U: push(x, cfi_u32(r)); break;
    case OP_CONST4S: push(x, (uint64_t)(int64_t)(int32_t)cfi_u32(r)); break;
    case OP_ADDR:
    case OP_CONST8U:
    case OP_CONST8S: push(x, cfi_u64(r)); break;
    case OP_CONSTU: push(x, cfi_uleb(r)); break;
    case OP_CONSTS: push(x, (uint64_t)cfi_sleb(r)); break;
    default: r->bad = true;
    }
}

static void binary(struct machine *x, uint8_t op) {
    uint64_t b = pop(x), a = pop(x);
    int64_t sa = (int64_t)a, sb = (int64_t)b;
    switch (op) {
    case OP_AND: push(x, a & b); break;
    case OP_DIV: push(x, sb == 0 ? 0 : sb == -1 ? -a : (uint64_t)(sa / sb)); break;
    case OP_MINUS: push(x, a - b); break;
    case OP_MOD: push(x, b ? a % b : 0); break;
    case OP_MUL: push(x, a * b); break;
    case OP_OR: push(x, a | b); break;
    case OP_PLUS: push(x, a + b); break;
    case OP_SHL: push(x, b < 64 ? a << b : 0); break;
    case OP_SHR: push(x, b < 64 ? a >> b : 0); break;
    case OP_SHRA: push(x, (uint64_t)(sa >> (b < 63 ? b : 63))); break;
    case OP_XOR: push(x, a ^ b); break;
    case OP_EQ: push(x, a == b); break;
    case OP_GE: push(x, sa >= sb); break;
    case OP_GT: push(x, sa > sb); break;
    case OP_LE: push(x, sa <= sb); break;
    case OP_LT: push(x, sa < sb); break;
    case OP_NE: push(x, a != b); break;
    default: x->r.bad = true;
    }
}

static void step(struct machine *x) {
    struct cfi_reader *r = &x->r;
    uint8_t op = cfi_u8(r);
    uint64_t a;
    if (op >= OP_LIT0 && op <= OP_LIT31) {
        push(x, op - OP_LIT0);
        return;
    }
    if (op >= OP_BREG0 && op <= OP_BREG31) {
        push_register(x, op - OP_BREG0, cfi_sleb(r));
        return;
    }
    switch (op) {
    case OP_NOP: break;
    case OP_BREGX:
        a = cfi_uleb(r);
        push_register(x, a, cfi_sleb(r));
        break;
    case OP_DEREF: deref(x, 8); break;
    case OP_DEREF_SIZE: deref(x, cfi_u8(r)); break;
    case OP_DUP: pick(x, 0); break;
    case OP_OVER: pick(x, 1); break;
    case OP_PICK: pick(x, cfi_u8(r)); break;
    case OP_DROP: pop(x); break;
    case OP_SWAP: swap_or_rotate(x, 2); break;
    case OP_ROT: swap_or_rotate(x, 3); break;
    case OP_ABS:
        a = pop(x);
        push(x, (int64_t)a < 0 ? -a : a);
        break;
    case OP_NEG: push(x, -pop(x)); break;
    case OP_NOT: push(x, ~pop(x)); break;
    case OP_PLUS_UCONST:
        a = pop(x);
        push(x, a + cfi_uleb(r));
        break;
    case OP_SKIP: jump(x, true); break;
    case OP_BRA:
        a = pop(x);
        jump(x, a != 0);
        break;
    case OP_AND:
    case OP_DIV:
    case OP_MINUS:
    case OP_MOD:
    case OP_MUL:
    case OP_OR:
    case OP_PLUS:
    case OP_SHL:
    case OP_SHR:
    case OP_SHRA:
    case OP_XOR:
    case OP_EQ:
    case OP_GE:
    case OP_GT:
    case OP_LE:
    case OP_LT:
    case OP_NE: binary(x, op); break;
    default: constant(x, op);
    }
}

/* Its length comes first. */
static struct cfi_reader open_expr(struct cfi_bytes bytes, uint32_t at) {
    struct cfi_reader r = {bytes.at + (at < bytes.n ? at : bytes.n), bytes.at + bytes.n, false};
    uint64_t n = cfi_uleb(&r);
    if (n > (uint64_t)(r.end - r.p))
        r.bad = true;
    else
        r.end = r.p + n;
    return r;
}

bool cfi_expr(struct cfi_bytes bytes, uint32_t at, const struct cfi_machine *m,
              const uint64_t *push_cfa, uint64_t *ret_value) {
    struct machine x = {.m = m, .r = open_expr(bytes, at), .n = 0};
    x.begin = x.r.p;
    if (push_cfa)
        push(&x, *push_cfa);
    for (unsigned steps = 0; x.r.p < x.r.end && !x.r.bad; steps++) {
        if (steps == STEPS)
            return false;
        step(&x);
    }
    if (x.r.bad || x.n == 0)
        return false;
    *ret_value = x.stack[x.n - 1];
    return true;
}

/* rsp + 8 + ((rip & 15) >= from) * 8: how ld describes all stubs of a PLT at once. */
bool cfi_expr_is_plt(struct cfi_bytes bytes, uint32_t at, unsigned *ret_from) {
    static const uint8_t head[] = {OP_BREG0 + CFI_RSP, 8,     OP_BREG0 + CFI_RA, 0,
                                   OP_LIT0 + 15,       OP_AND};
    static const uint8_t tail[] = {OP_GE, OP_LIT0 + 3, OP_SHL, OP_PLUS};
    struct cfi_reader r = open_expr(bytes, at);
    if (r.bad || r.end - r.p != sizeof head + 1 + sizeof tail ||
        memcmp(r.p, head, sizeof head) != 0 ||
        memcmp(r.p + sizeof head + 1, tail, sizeof tail) != 0)
        return false;
    unsigned lit = r.p[sizeof head];
    *ret_from = lit - OP_LIT0;
    return lit >= OP_LIT0 && lit <= OP_LIT0 + 15;
}
