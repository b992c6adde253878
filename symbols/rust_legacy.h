#pragma once
/*
 * Rust's older mangling: C++'s nested name with a hash as its last part, and "$LT$" where C++ has
 * no letter.
 */
#include "symbols/mangled.h"

/* s is behind "_ZN". False when it is no Rust name; out is then of no use. */
bool rust_legacy(const char *s, struct text *out);
