#pragma once
/*
 * Linker names -> names for people. Rust, both schemes, is decoded here (symbols/rust.h). C++ is
 * left to the host's own __cxa_demangle, because a program whose names need it has it; without one
 * the mangled name stays and pprof demangles it.
 */

/* Looks for the host's C++ demangler. CALM; cheap to repeat, worth it after the host loaded
 * libraries. */
void demangle_load(void);
/* The name from malloc, or NULL when there is nothing to demangle. C++ parameters are cut off:
 * "ns::f<int>(char const*)" is "ns::f<int>". Takes no lock of libc and loads nothing. */
char *demangle(const char *mangled);
