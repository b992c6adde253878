#pragma once
/*
 * ANYWHERE, except add, remove and reset (CALM). Unwind tables that the program registers for code
 * it makes at run time (__register_frame: LLVM, and what is built with it). Private copies, made
 * when they are registered: the program's own may be gone a moment after.
 *
 * Memory of a copy is used again for another one and never given back, so a walk that was overtaken
 * reads other tables, never bad memory; a version then tells it so.
 */
#include <stdbool.h>
#include <stdint.h>

#include "agent/cfi.h"

struct registered;

/* What find() found; good for as long as registered_holds() says. */
struct registered_place {
    const struct registered *block;
    uint32_t version;
};

/* The tables that cover pc. */
bool registered_find(uint64_t pc, struct registered_place *ret);
bool registered_holds(const struct registered_place *p);
uint32_t registered_rule(const struct registered_place *p, uint64_t pc);
/* The record behind a rule that says too little. */
bool registered_entry(const struct registered_place *p, uint64_t pc, struct cfi_entry *ret);

/* How and with what a registration came, for its end. */
struct registration {
    uint64_t key;   /* what the program names it by */
    uint64_t begin; /* its first record */
    void *object;   /* memory that the program gave to the registrar; it gets it back */
    bool forwarded; /* a real registrar knows it, too */
    bool single; /* one function's record, as LLVM's libunwind wants it; otherwise up to a zero */
};

/* False if there is no room. One that is known already stays one. */
bool registered_add(const struct registration *r);
/* The registration that ends; false if none of that key is known. */
bool registered_remove(uint64_t key, struct registration *ret);
/* In a fork child: its copies stay. */
void registered_reset(void);
