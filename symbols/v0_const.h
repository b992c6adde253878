#pragma once
/* The constants of Rust's v0 mangling: what stands for a generic parameter or a length. */
#include "symbols/v0.h"

/* in_value: inside of another constant, where no braces are needed. */
void v0_const(struct v0 *v, bool in_value);
