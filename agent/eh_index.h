#pragma once
/*
 * ANYWHERE. Which record of .eh_frame covers an address, for modules that are never unloaded. The
 * search table that linkers write is sorted but has no steps: 12 to 17 halvings, each waiting for
 * the one before. The index remembers the row at which each page of code begins, and how many more
 * until each of its eight parts, so that the next four rows are compared and that is mostly all. 16
 * bytes for a page of code, filled page by page when addresses in it are met.
 */
#include <stdatomic.h>
#include <stdint.h>

struct module;

struct eh_page {
    _Atomic(uint64_t)
        steps;             /* rows from there to each 512 bytes but the first, a byte for each, 255
                              or more: 255; lowest: how many bytes one record is from the next */
    _Atomic(uint32_t) row; /* at its beginning, plus 1; 0: not looked for yet */
    _Atomic(int32_t) record; /* of that row, as the table has it */
};

struct eh_index {
    uint32_t pages;
    struct eh_page page[];
};

/* Where the record of the last function that begins at or before pc lies; 0: none. The module is
 * pinned. */
uint64_t eh_index_find(struct module *m, uint64_t pc);
/* Where the first function behind pc begins; UINT64_MAX: there is none. */
uint64_t eh_index_next(const struct module *m, uint64_t pc);
