#pragma once
/*
 * Rust's two manglings. Legacy looks like C++ with a hash at the end:
 * _ZN4core3fmt5write17h0123456789abcdefE. v0 (RFC 2603) is a grammar of its own:
 * _RNvNtCs1234_4core3fmt5write. Printed as people write it: without hashes, crate disambiguators
 * and the types of constants.
 */

enum { RUST_NAME_MAX = 4096 };

/* The name from malloc; NULL if it is no Rust name, is malformed, or does not fit RUST_NAME_MAX. */
char *rust_demangle(const char *mangled);
