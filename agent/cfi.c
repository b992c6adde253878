#include "agent/cfi.h"

#include <errno.h>

/* What a row says about the whole frame, if 28 bits can. A PLT's CFA depends on the pc within the
 * row. */
static uint32_t pack(const struct cfi_entry *e, const struct cfi_row *row) {
    unsigned from;
    if (e->signal)
        return cfi_rule(CFI_TRAMPOLINE, 0, 0);
    if (row->how[e->ra] == CFI_UNDEFINED)
        return cfi_rule(CFI_ROOT, 0, 0);
    if (e->ra != CFI_RA || row->how[CFI_RA] != CFI_AT || row->value[CFI_RA] != -8 ||
        row->how[CFI_RSP] != CFI_SAME || cfi_row_lands(row))
        return cfi_rule(CFI_FULL, 0, 0);
    uint32_t bp = 0;
    if (row->how[CFI_RBP] == CFI_AT && row->value[CFI_RBP] < 0 && row->value[CFI_RBP] % 8 == 0 &&
        row->value[CFI_RBP] >= -8 * CFI_BP_MAX)
        bp = (uint32_t)(-row->value[CFI_RBP] / 8);
    else if (row->how[CFI_RBP] != CFI_SAME && row->how[CFI_RBP] != CFI_UNDEFINED)
        return cfi_rule(CFI_FULL, 0, 0);
    if (row->cfa == CFI_EXPR && cfi_expr_is_plt(e->bytes, (uint32_t)row->cfa_value, &from))
        return cfi_rule(CFI_PLT, from, bp);
    if (row->cfa != CFI_SUM || row->cfa_value < 0 || row->cfa_value % 8 ||
        row->cfa_value > 8 * CFI_CFA_MAX || (row->cfa_reg != CFI_RSP && row->cfa_reg != CFI_RBP))
        return cfi_rule(CFI_FULL, 0, 0);
    return cfi_rule(row->cfa_reg == CFI_RSP ? CFI_BY_SP : CFI_BY_BP, (uint32_t)row->cfa_value / 8,
                    bp);
}

static uint32_t resolve_plt(uint32_t rule, uint64_t pc) {
    if (cfi_kind(rule) != CFI_PLT)
        return rule;
    return cfi_rule(CFI_BY_SP, 1 + ((pc & 15) >= cfi_cfa_bytes(rule) / 8), cfi_bp_bytes(rule) / 8);
}

uint32_t cfi_pack(const struct cfi_entry *e, const struct cfi_row *row, uint64_t pc) {
    return resolve_plt(pack(e, row), pc);
}

static enum cfi_step failed(struct cfi_machine *m, uint32_t had) {
    return m->known != had ? CFI_STEP_UNKNOWN_REGISTER : CFI_STEP_BAD;
}

/* One register of the caller. False: it cannot be had. */
static bool caller_register(const struct cfi_entry *e, const struct cfi_row *row,
                            const struct cfi_machine *m, unsigned reg, uint64_t cfa,
                            uint64_t *ret) {
    int32_t value = row->value[reg];
    uint64_t at;
    switch ((enum cfi_how)row->how[reg]) {
    case CFI_SAME: *ret = m->reg[reg]; return m->known >> reg & 1;
    case CFI_AT: return m->load(m->arg, cfa + (uint64_t)(int64_t)value, ret);
    case CFI_SUM: *ret = cfa + (uint64_t)(int64_t)value; return true;
    case CFI_IN:
        *ret = m->reg[value & 15];
        return value >= 0 && value < 16 && (m->known >> value & 1);
    case CFI_AT_EXPR:
        return cfi_expr(e->bytes, (uint32_t)value, m, &cfa, &at) && m->load(m->arg, at, ret);
    case CFI_EXPR: return cfi_expr(e->bytes, (uint32_t)value, m, &cfa, ret);
    default: return false;
    }
}

static bool cfa_of(const struct cfi_entry *e, const struct cfi_row *row,
                   const struct cfi_machine *m, uint64_t *ret_cfa) {
    if (row->cfa == CFI_EXPR)
        return cfi_expr(e->bytes, (uint32_t)row->cfa_value, m, NULL, ret_cfa);
    *ret_cfa = m->reg[row->cfa_reg] + (uint64_t)(int64_t)row->cfa_value;
    return m->known >> row->cfa_reg & 1;
}

/* Only registers that a function must preserve can be traced through it. */
enum { PRESERVED = 1 << CFI_RBX | 1 << CFI_RBP | 0xf << CFI_R12 };

enum cfi_step cfi_step(const struct cfi_entry *e, const struct cfi_row *row,
                       struct cfi_machine *m) {
    enum { ALL = (1 << CFI_REGS) - 1 };
    struct cfi_machine out = {.load = m->load, .arg = m->arg};
    uint64_t cfa;
    if (row->how[e->ra] == CFI_UNDEFINED)
        return CFI_STEP_ROOT;
    if (!cfa_of(e, row, m, &cfa))
        return failed(m, ALL);
    if (!caller_register(e, row, m, e->ra, cfa, &out.reg[CFI_RA]) ||
        (row->how[e->ra] == CFI_SAME && e->ra == CFI_RA))
        return failed(m, ALL);
    for (unsigned reg = 0; reg < CFI_RA; reg++) {
        bool traced = (PRESERVED >> reg & 1) || row->how[reg] != CFI_SAME;
        if (reg != CFI_RSP && traced && caller_register(e, row, m, reg, cfa, &out.reg[reg]))
            out.known |= 1u << reg;
    }
    out.reg[CFI_RSP] = cfa;
    if (row->how[CFI_RSP] != CFI_SAME &&
        !caller_register(e, row, m, CFI_RSP, cfa, &out.reg[CFI_RSP]))
        return failed(m, ALL);
    out.known |= 1u << CFI_RSP | 1u << CFI_RA;
    *m = out;
    return CFI_STEP_OK;
}

/* Tables ------------------------------------------------------------------------------------------
 */

struct place {
    uint64_t start;
    uint32_t at;
};

struct build {
    struct cfi_bytes bytes;
    struct place *places; /* of the functions' records, by address in the end */
    uint32_t n, cap;
    struct cfi_table *out;
    uint32_t rows_cap;
    uint64_t end; /* of the rows so far */
    bool full;
};

static void sift(struct place *p, uint32_t root, uint32_t n) {
    for (uint32_t child; (child = 2 * root + 1) < n; root = child) {
        child += child + 1 < n && p[child].start < p[child + 1].start;
        if (p[root].start >= p[child].start)
            return;
        struct place t = p[root];
        p[root] = p[child];
        p[child] = t;
    }
}

/* Heap sort: no memory, no recursion; and most sections need no sorting at all. */
static void sort(struct place *p, uint32_t n) {
    bool sorted = true;
    for (uint32_t i = 1; i < n && sorted; i++)
        sorted = p[i - 1].start <= p[i].start;
    if (sorted)
        return;
    for (uint32_t i = n / 2; i-- > 0;)
        sift(p, i, n);
    for (uint32_t i = n; i-- > 1;) {
        struct place t = p[0];
        p[0] = p[i];
        p[i] = t;
        sift(p, 0, i);
    }
}

static void find_places(struct build *b) {
    struct cfi_entry e;
    size_t at = 0, next;
    int kind;
    for (; (kind = cfi_entry_parse(b->bytes, at, &e, &next)) >= 0 && b->n < b->cap; at = next)
        if (kind > 0)
            b->places[b->n++] = (struct place){e.start, (uint32_t)at};
}

static void add(struct build *b, uint64_t pc, uint32_t rule) {
    struct cfi_table *t = b->out;
    if (pc - t->base > UINT32_MAX || t->n == b->rows_cap) {
        b->full = true;
        return;
    }
    if (t->n && t->rows[t->n - 1].pc == pc - t->base)
        t->n--;
    if (t->n && t->rows[t->n - 1].rule == rule)
        return;
    t->rows[t->n++] = (struct cfi_table_row){(uint32_t)(pc - t->base), rule};
}

static bool add_row(const struct cfi_entry *e, const struct cfi_row *row, void *arg) {
    struct build *b = arg;
    if (row->end <= b->end)
        return true; /* two records for one place: the first counts */
    add(b, row->start > b->end ? row->start : b->end, pack(e, row));
    b->end = row->end;
    return !b->full;
}

static void add_entry(struct build *b, uint32_t at) {
    struct cfi_entry e;
    size_t next;
    const uint32_t gap = cfi_rule(CFI_BY_FRAME, 0, 0);
    cfi_entry_parse(b->bytes, at, &e, &next);
    if (e.end - b->out->base > UINT32_MAX)
        return;
    if (e.start > b->end)
        add(b, b->end, gap);
    cfi_entry_rows(&e, add_row, b);
    if (e.end > b->end) {
        add(b, b->end > e.start ? b->end : e.start, gap);
        b->end = e.end;
    }
}

/* A record takes 16 bytes at least, a row two: bounds for memory of which only what is used gets
 * touched. */
int cfi_build(const uint8_t *eh_frame, size_t n, uint64_t address, struct cfi_table *out,
              cfi_alloc_fn *alloc, cfi_free_fn *release) {
    struct build b = {.bytes = {eh_frame, n, address}, .out = out, .cap = (uint32_t)(n / 16 + 1)};
    *out = (struct cfi_table){0};
    if (n > UINT32_MAX / 2)
        return -E2BIG;
    b.places = alloc(b.cap * sizeof *b.places);
    if (!b.places)
        return -ENOMEM;
    find_places(&b);
    sort(b.places, b.n);
    b.rows_cap = (uint32_t)(n / 2 + 2 * b.n + 2);
    out->mapped = b.rows_cap * sizeof *out->rows;
    out->rows = b.n ? alloc(out->mapped) : NULL;
    int err = b.n == 0 ? -ENODATA : out->rows ? 0 : -ENOMEM;
    if (err == 0) {
        out->base = b.end = b.places[0].start;
        for (uint32_t i = 0; i < b.n && !b.full; i++)
            add_entry(&b, b.places[i].at);
        add(&b, b.end, cfi_rule(CFI_BY_FRAME, 0, 0));
    }
    release(b.places, b.cap * sizeof *b.places);
    return err;
}

uint32_t cfi_table_find(const struct cfi_table *t, uint64_t pc) {
    uint32_t lo = 0, hi = t->n;
    if (pc < t->base || pc - t->base > UINT32_MAX)
        return cfi_rule(CFI_BY_FRAME, 0, 0);
    uint32_t key = (uint32_t)(pc - t->base);
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (t->rows[mid].pc <= key)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo ? resolve_plt(t->rows[lo - 1].rule, pc) : cfi_rule(CFI_BY_FRAME, 0, 0);
}
