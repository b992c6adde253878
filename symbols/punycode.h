#pragma once
/*
 * Punycode (RFC 3492) as Rust writes it, with "_" for "-": "gdel_5qa" is "gödel".
 */
#include "symbols/mangled.h"

/* False, and nothing is printed, when the text is malformed or longer than 128 characters. */
bool punycode_print(struct piece text, struct text *out);
