#pragma once
/*
 * Rust's v0 mangling (RFC 2603): a recursive grammar with back references to earlier text. This is
 * what its productions share: reading, printing and what stands between productions; they are in
 * v0_path.h, v0_type.h and v0_const.h. Any surprise sets `bad`, after which every step does
 * nothing. Nesting is bounded for the stack, 18 KiB at worst; length is bounded by the room in
 * `out`.
 */
#include "symbols/mangled.h"

struct v0 {
    const char *s; /* behind "_R"; back references count from here */
    size_t at, n;
    struct text *out;
    uint64_t lifetimes; /* bound by the binders around us */
    unsigned depth;
    bool silent; /* read, do not print */
    bool bad;
};

struct v0_ident {
    struct piece text;
    bool punycode;
};

void v0_print(struct v0 *v, const char *s);
void v0_print_number(struct v0 *v, uint64_t n);
void v0_print_ident(struct v0 *v, struct v0_ident id);

/* NUL at the end and after trouble. */
char v0_peek(const struct v0 *v);
bool v0_eat(struct v0 *v, char c);
char v0_next(struct v0 *v);
/* "_" is 0, "0_" is 1, "10_" is 63. */
uint64_t v0_base62(struct v0 *v);
/* The number behind an optional tag: 0 without it, else base62 + 1. */
uint64_t v0_tagged62(struct v0 *v, char tag);
struct v0_ident v0_identifier(struct v0 *v);

/* One level deeper; false when that is too deep. Who entered takes 1 off `depth` again. */
bool v0_enter(struct v0 *v);
/* Reads what stands at an earlier place; start is where the "B" stood. */
void v0_backref(struct v0 *v, size_t start, void (*what)(struct v0 *, bool), bool in_value);
/* Elements up to "E"; the number of them. */
unsigned v0_list(struct v0 *v, void (*element)(struct v0 *), const char *between);
/* index counts binders from the innermost, 1 first; 0 is the erased '_. */
void v0_lifetime(struct v0 *v, uint64_t index);
/* Reads an optional binder and prints "for<'a, 'b> ". The number bound, to be taken off again. */
uint64_t v0_binder(struct v0 *v);
