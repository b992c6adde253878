#pragma once
/*
 * ANYWHERE. What unwind rule holds at an address. A direct-mapped cache of 32,768 rules, shared by
 * all threads, answers first; behind it the module's own .eh_frame_hdr is searched and one
 * function's record interpreted, in place when the module was there at load, because such code is
 * never unloaded. Code that may go away is answered from a private table of rows; until that is
 * built, from copies of the two records it takes.
 *
 * A cache entry is one word and so never torn: upper half the address without its 15 low bits
 * (which the place in the cache gives back), then the rule, then four bits of the module list's
 * generation.
 */
#include <stdatomic.h>

#include "agent/cfi.h"
#include "agent/unwind.h"

enum { RULES_BITS = 15, RULES = 1 << RULES_BITS, RULES_GENERATION = 15 };

struct rules {
    atomic_uint_fast64_t at[RULES];
    atomic_uint generation; /* of the module list that the entries were made under */
    atomic_uint walks;      /* now and then a walk looks for changed mappings */
};

extern struct rules rules;

/* Before each walk and when the list of modules changed: drops the entries if modules came or went.
 */
void rules_begin(struct walk *w);
/* The rule at an address that the cache does not hold. CFI_NOTHING: not code. */
uint32_t rules_find_slow(struct walk *w, uint64_t pc);
/* The row behind a CFI_FULL rule. The entry's bytes may be in buf. */
bool rules_row(struct walk *w, uint64_t pc, struct cfi_entry *ret_entry, struct cfi_row *ret_row,
               uint8_t *buf, size_t cap);
/* True if a signal handler returns to this address: nine bytes that are the same everywhere. */
bool rules_is_trampoline(uint64_t pc);
/* Drops what the cache holds for that code. ANYWHERE. */
void rules_forget(uint64_t lo, uint64_t hi);
/* Builds the tables that walks asked for. CALM, or on a stack of the agent. True if there were any.
 */
bool rules_build_wanted(void);

static inline atomic_uint_fast64_t *rules_slot(uint64_t pc) {
    return &rules.at[(pc ^ pc >> RULES_BITS) % RULES];
}

static inline uint32_t rules_find(struct walk *w, uint64_t pc) {
    uint64_t e = atomic_load_explicit(rules_slot(pc), memory_order_relaxed);
    if (e >> 32 == pc >> RULES_BITS && (e & RULES_GENERATION) == w->generation)
        return (uint32_t)e >> 4;
    return rules_find_slow(w, pc);
}
