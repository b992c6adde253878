#pragma once
/*
 * ANYWHERE. The rule at an address straight from its record, for records as compilers write them:
 * the shared part says nothing but "CFA is rsp + 8, the return address below it", the function's
 * own program only moves the CFA and saves registers. Everything else is left to cfi_entry_parse()
 * and cfi_entry_row(), whose answer for the same record is the same.
 */
#include <stdatomic.h>

#include "agent/cfi.h"

/* Which shared records are known to be usual; by offset, from the same bytes. A zero knows none. */
enum { CFI_USUAL = 4 };
struct cfi_usual {
    _Atomic(uint32_t) at[CFI_USUAL];
};

/* The rule that holds at pc, from the record at that offset; 0: ask the others. With
 * CFI_QUICK_LAST where pc is the function's last byte. Cost: about 25 ns. */
enum { CFI_QUICK_LAST = 1 << CFI_RULE_BITS };
uint32_t cfi_quick(const struct cfi_bytes *bytes, size_t at, struct cfi_usual *usual, uint64_t pc);
