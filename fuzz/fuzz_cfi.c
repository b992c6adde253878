/* Any bytes as .eh_frame: built into a table, and each record walked row by row with its
 * expressions evaluated. */
#include <stdlib.h>
#include <string.h>

#include "agent/cfi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { AT = 0x100000, PLACES = 64 };

static void *zeroed(size_t n) { return calloc(1, n); }
static void release(void *p, size_t n) { free(p); }

static bool load(void *arg, uint64_t address, uint64_t *ret_word) {
    *ret_word = address * 3;
    return address % 5 != 0;
}

static bool step(const struct cfi_entry *e, const struct cfi_row *row, void *arg) {
    struct cfi_machine m = {.known = 1 << CFI_RSP | 1 << CFI_RBP | 1 << CFI_RBX | 1 << CFI_RA,
                            .load = load};
    m.reg[CFI_RSP] = 0x7000;
    m.reg[CFI_RBP] = 0x7100;
    m.reg[CFI_RA] = row->start;
    cfi_step(e, row, &m);
    unsigned *left = arg;
    return (*left)-- > 0;
}

static size_t read_from(void *arg, uint64_t address, void *to, size_t n) {
    const struct cfi_bytes *b = arg;
    if (address < b->address || address - b->address >= b->n)
        return 0;
    size_t from = address - b->address;
    n = n < b->n - from ? n : b->n - from;
    memcpy(to, b->at + from, n);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct cfi_bytes b = {data, size, AT};
    struct cfi_table t;
    struct cfi_entry e;
    struct cfi_row row;
    size_t next;
    if (cfi_build(data, size, AT, &t, zeroed, release) == 0)
        for (unsigned i = 0; i < PLACES; i++)
            cfi_table_find(&t, t.base + i * 16);
    free(t.rows);
    for (size_t at = 0; cfi_entry_parse(b, at, &e, &next) >= 0; at = next) {
        uint8_t copy[512];
        unsigned rows = PLACES;
        size_t copy_at;
        if (e.end > e.start)
            cfi_entry_rows(&e, step, &rows);
        struct cfi_bytes both =
            cfi_entry_gather(AT + at, copy, sizeof copy, read_from, &b, &copy_at);
        if (both.n && cfi_entry_parse(both, copy_at, &e, &(size_t){0}) > 0 &&
            cfi_entry_row(&e, e.start, &row))
            cfi_pack(&e, &row, e.start);
    }
    return 0;
}
