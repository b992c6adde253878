/* Any bytes as .eh_frame, and as the program of one function behind a shared record as compilers
 * write it: where the quick interpreter answers, the full one says the same. */
#include "agent/cfi_quick.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { AT = 0x100000, FEW = 4, MANY = 96, OWN = 17, SHARED = 24, BEHIND = 8 };

static void require(bool so) {
    if (!so)
        abort();
}

/* usual knows what was met before, as a module's does; a fresh one changes nothing. */
static void ask(struct cfi_bytes b, size_t at, struct cfi_usual *usual, uint64_t pc) {
    struct cfi_usual fresh = {0};
    struct cfi_entry e;
    struct cfi_row row;
    size_t next;
    uint32_t rule = cfi_quick(&b, at, usual, pc);
    require(rule == cfi_quick(&b, at, &fresh, pc));
    if (!rule)
        return;
    require(cfi_entry_parse(b, at, &e, &next) > 0 && cfi_entry_row(&e, pc, &row));
    require((rule & ~CFI_QUICK_LAST) == cfi_pack(&e, &row, pc));
    require(!!(rule & CFI_QUICK_LAST) == (pc + 1 == e.end));
}

/* The function's first bytes, some of the others, its last ones and those around it. */
static void ask_at(struct cfi_bytes b, size_t at, struct cfi_usual *usual, unsigned places) {
    int32_t head[2] = {0, 0};
    if (b.n >= sizeof head + 8 && at <= b.n - sizeof head - 8)
        memcpy(head, b.at + at + 8, sizeof head);
    uint64_t start = b.address + at + 8 + (uint64_t)(int64_t)head[0];
    for (uint64_t i = 0; i < places; i++)
        ask(b, at, usual, start - 1 + i * (i < places / 2 ? 1 : 61));
    ask(b, at, usual, start + (uint32_t)head[1]);
    ask(b, at, usual, start + (uint32_t)head[1] - 1);
}

/* A record may begin anywhere: offsets come from the search table, which is the file's, too. */
static void as_section(const uint8_t *data, size_t size) {
    struct cfi_bytes b = {data, size, AT};
    struct cfi_usual usual = {0};
    for (size_t at = 0; at < size + 2; at++)
        ask_at(b, at, &usual, FEW);
    size_t next;
    for (size_t at = 0; cfi_entry_parse(b, at, &(struct cfi_entry){0}, &next) >= 0; at = next)
        ask_at(b, at, &usual, MANY);
}

static void as_program(const uint8_t *data, size_t size) {
    static const uint8_t shared[SHARED] = {20, 0,    0,  0, 0,    0,    0, 0, 1,    'z', 'R', 0,
                                           1,  0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1,   0,   0};
    const uint32_t head[4] = {(uint32_t)size + OWN - 4, SHARED + 4, 0x1000, 0x2000};
    size_t n = SHARED + OWN + size + BEHIND; /* where its reads of whole words may end */
    uint8_t *copy = calloc(1, n);
    struct cfi_usual usual = {0};
    if (!copy)
        return;
    memcpy(copy, shared, sizeof shared);
    memcpy(copy + SHARED, head, sizeof head);
    if (size)
        memcpy(copy + SHARED + OWN, data, size);
    ask_at((struct cfi_bytes){copy, n, AT}, SHARED, &usual, MANY);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    as_section(data, size);
    as_program(data, size);
    return 0;
}
