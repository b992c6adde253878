#pragma once
/* The paths of Rust's v0 mangling: crates, what is in them, impl blocks, generic arguments. */
#include "symbols/v0.h"

/* In a value generic arguments are written "::<T>", in a type "<T>". */
void v0_path(struct v0 *v, bool in_value);
/* Prints a path without its last ">", so that "Item = T" can go in. True if a list is open. */
bool v0_path_open(struct v0 *v);
