/*
 * ANYWHERE. The programs in call frame records (DWARF 5, 6.4.2, and the GNU additions), one row at
 * a time: a row ends where an instruction advances the place. Looking one address up runs those in
 * front of it; a table of all runs each once.
 */
#include "agent/cfi.h"

#include "agent/cfi_read.h"

/* clang-format off */
enum {
    OP_NOP = 0x00, OP_SET_LOC = 0x01, OP_ADVANCE_1 = 0x02, OP_ADVANCE_2 = 0x03, OP_ADVANCE_4 = 0x04,
    OP_OFFSET_EXTENDED = 0x05, OP_RESTORE_EXTENDED = 0x06, OP_UNDEFINED = 0x07, OP_SAME = 0x08,
    OP_REGISTER = 0x09, OP_REMEMBER = 0x0a, OP_RESTORE_STATE = 0x0b, OP_CFA = 0x0c, OP_CFA_REGISTER = 0x0d,
    OP_CFA_OFFSET = 0x0e, OP_CFA_EXPRESSION = 0x0f, OP_EXPRESSION = 0x10, OP_OFFSET_SF = 0x11,
    OP_CFA_SF = 0x12, OP_CFA_OFFSET_SF = 0x13, OP_VAL_OFFSET = 0x14, OP_VAL_OFFSET_SF = 0x15,
    OP_VAL_EXPRESSION = 0x16, OP_ADVANCE_8 = 0x1d, OP_ARGS_SIZE = 0x2e, OP_OFFSET_NEGATIVE = 0x2f,
    OP_ADVANCE = 0x40, OP_OFFSET = 0x80, OP_RESTORE = 0xc0, OP_HIGH = 0xc0,
};
/* clang-format on */

enum { REMEMBERED = 16 };

struct run {
    const struct cfi_entry *e;
    struct cfi_reader r;
    struct cfi_row row;
    struct cfi_row initial; /* behind the shared program: what OP_RESTORE goes back to */
    struct cfi_row remembered[REMEMBERED];
    unsigned depth;
};

static void set(struct run *x, uint64_t reg, enum cfi_how how, int64_t value) {
    if (value != (int32_t)value)
        x->r.bad = true;
    if (reg >= CFI_REGS)
        return;
    x->row.how[reg] = (uint8_t)how;
    x->row.value[reg] = (int32_t)value;
}

/* Registers by number are unsigned, offsets count in units of the data alignment. */
static void set_scaled(struct run *x, enum cfi_how how, uint64_t reg, int64_t value) {
    if (value > INT32_MAX || value < INT32_MIN)
        x->r.bad = true;
    else
        set(x, reg, how, value * x->e->data_align);
}

static void set_expression(struct run *x, enum cfi_how how, uint64_t reg) {
    set(x, reg, how, x->r.p - x->e->bytes.at);
    cfi_skip(&x->r, cfi_uleb(&x->r));
}

static void restore(struct run *x, uint64_t reg) {
    if (reg >= CFI_REGS)
        return;
    x->row.how[reg] = x->initial.how[reg];
    x->row.value[reg] = x->initial.value[reg];
}

static void set_cfa(struct run *x, uint64_t reg, int64_t offset) {
    if (reg >= CFI_REGS || offset != (int32_t)offset)
        x->r.bad = true;
    x->row.cfa = CFI_SUM;
    x->row.cfa_reg = (uint8_t)reg;
    x->row.cfa_value = (int32_t)offset;
}

static void remember(struct run *x) {
    if (x->depth == REMEMBERED)
        x->r.bad = true;
    else
        x->remembered[x->depth++] = x->row;
}

static void restore_state(struct run *x) {
    if (x->depth == 0) {
        x->r.bad = true;
        return;
    }
    uint64_t start = x->row.start, end = x->row.end;
    x->row = x->remembered[--x->depth];
    x->row.start = start;
    x->row.end = end;
}

/* The place itself, in the encoding of the entry's own addresses. */
static uint64_t read_place(struct run *x) {
    const struct cfi_bytes *b = &x->e->bytes;
    uint64_t here = b->address + (uint64_t)(x->r.p - b->at);
    switch (x->e->encoding) {
    case 0x00: return cfi_u64(&x->r);
    case 0x1b: return here + (uint64_t)(int64_t)(int32_t)cfi_u32(&x->r);
    case 0x1c: return here + cfi_u64(&x->r);
    default: x->r.bad = true; return 0;
    }
}

static void execute_cfa(struct run *x, uint8_t op) {
    struct cfi_reader *r = &x->r;
    int64_t scale = x->e->data_align;
    uint64_t reg = x->row.cfa_reg;
    switch (op) {
    case OP_CFA:
        reg = cfi_uleb(r);
        set_cfa(x, reg, (int64_t)cfi_uleb(r));
        break;
    case OP_CFA_SF: {
        reg = cfi_uleb(r);
        int64_t units = cfi_sleb(r);
        set_cfa(x, reg, units == (int32_t)units ? units * scale : INT64_MAX);
        break;
    }
    case OP_CFA_REGISTER: set_cfa(x, cfi_uleb(r), x->row.cfa_value); break;
    case OP_CFA_OFFSET: set_cfa(x, reg, (int64_t)cfi_uleb(r)); break;
    case OP_CFA_OFFSET_SF: {
        int64_t units = cfi_sleb(r);
        set_cfa(x, reg, units == (int32_t)units ? units * scale : INT64_MAX);
        break;
    }
    case OP_CFA_EXPRESSION:
        x->row.cfa = CFI_EXPR;
        x->row.cfa_value = (int32_t)(r->p - x->e->bytes.at);
        cfi_skip(r, cfi_uleb(r));
        break;
    }
}

static void execute_register(struct run *x, uint8_t op) {
    struct cfi_reader *r = &x->r;
    uint64_t reg = cfi_uleb(r);
    switch (op) {
    case OP_OFFSET_EXTENDED: set_scaled(x, CFI_AT, reg, (int64_t)cfi_uleb(r)); break;
    case OP_OFFSET_SF: set_scaled(x, CFI_AT, reg, cfi_sleb(r)); break;
    case OP_OFFSET_NEGATIVE: {
        uint64_t units = cfi_uleb(r);
        set_scaled(x, CFI_AT, reg, units > INT32_MAX ? INT64_MAX : -(int64_t)units);
        break;
    }
    case OP_VAL_OFFSET: set_scaled(x, CFI_SUM, reg, (int64_t)cfi_uleb(r)); break;
    case OP_VAL_OFFSET_SF: set_scaled(x, CFI_SUM, reg, cfi_sleb(r)); break;
    case OP_RESTORE_EXTENDED: restore(x, reg); break;
    case OP_UNDEFINED: set(x, reg, CFI_UNDEFINED, 0); break;
    case OP_SAME: set(x, reg, CFI_SAME, 0); break;
    case OP_REGISTER: set(x, reg, CFI_IN, (int64_t)cfi_uleb(r)); break;
    case OP_EXPRESSION: set_expression(x, CFI_AT_EXPR, reg); break;
    case OP_VAL_EXPRESSION: set_expression(x, CFI_EXPR, reg); break;
    }
}

/* True if the instruction advanced the place: to x->row.end. */
static bool execute(struct run *x) {
    struct cfi_reader *r = &x->r;
    uint8_t op = cfi_u8(r);
    uint64_t scale = x->e->code_align, start = x->row.start;
    switch (op & OP_HIGH) {
    case OP_ADVANCE: x->row.end = start + (op & 0x3f) * scale; return true;
    case OP_OFFSET: set_scaled(x, CFI_AT, op & 0x3f, (int64_t)cfi_uleb(r)); return false;
    case OP_RESTORE: restore(x, op & 0x3f); return false;
    }
    switch (op) {
    case OP_NOP: return false;
    case OP_SET_LOC: x->row.end = read_place(x); return true;
    case OP_ADVANCE_1: x->row.end = start + cfi_u8(r) * scale; return true;
    case OP_ADVANCE_2: x->row.end = start + cfi_u16(r) * scale; return true;
    case OP_ADVANCE_4: x->row.end = start + cfi_u32(r) * scale; return true;
    case OP_ADVANCE_8: x->row.end = start + cfi_u64(r) * scale; return true;
    case OP_REMEMBER: remember(x); return false;
    case OP_RESTORE_STATE: restore_state(x); return false;
    case OP_CFA:
    case OP_CFA_SF:
    case OP_CFA_REGISTER:
    case OP_CFA_OFFSET:
    case OP_CFA_OFFSET_SF:
    case OP_CFA_EXPRESSION: execute_cfa(x, op); return false;
    case OP_OFFSET_EXTENDED:
    case OP_OFFSET_SF:
    case OP_OFFSET_NEGATIVE:
    case OP_VAL_OFFSET:
    case OP_VAL_OFFSET_SF:
    case OP_RESTORE_EXTENDED:
    case OP_UNDEFINED:
    case OP_SAME:
    case OP_REGISTER:
    case OP_EXPRESSION:
    case OP_VAL_EXPRESSION: execute_register(x, op); return false;
    case OP_ARGS_SIZE: cfi_uleb(r); return false;
    default: r->bad = true; return false;
    }
}

static void open_part(struct run *x, struct cfi_part part) {
    const uint8_t *at = x->e->bytes.at;
    x->r = (struct cfi_reader){at + part.from, at + part.to, false};
}

static bool begin(struct run *x, const struct cfi_entry *e) {
    x->e = e;
    x->depth = 0;
    memset(&x->row, 0, sizeof x->row);
    x->row.start = x->row.end = e->start;
    open_part(x, e->shared);
    while (x->r.p < x->r.end)
        if (execute(x))
            return false;
    bool ok = !x->r.bad;
    x->initial = x->row;
    open_part(x, e->own);
    return ok;
}

/* Runs to the end of the next row that is not empty; false at garbage. */
static bool next_row(struct run *x) {
    x->row.start = x->row.end;
    while (x->r.p < x->r.end) {
        bool advanced = execute(x);
        if (x->r.bad)
            return false;
        if (!advanced || x->row.end == x->row.start)
            continue;
        if (x->row.end > x->e->end)
            x->row.end = x->e->end;
        return x->row.end > x->row.start;
    }
    x->row.end = x->e->end;
    return true;
}

bool cfi_entry_rows(const struct cfi_entry *e, cfi_row_fn *fn, void *arg) {
    struct run x;
    if (!begin(&x, e))
        return false;
    do {
        if (!next_row(&x))
            return false;
        if (!fn(e, &x.row, arg))
            return true;
    } while (x.row.end < e->end);
    return true;
}

bool cfi_entry_row(const struct cfi_entry *e, uint64_t pc, struct cfi_row *ret_row) {
    struct run x;
    if (pc < e->start || pc >= e->end || !begin(&x, e))
        return false;
    do
        if (!next_row(&x))
            return false;
    while (x.row.end <= pc);
    *ret_row = x.row;
    return true;
}
