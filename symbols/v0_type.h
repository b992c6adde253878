#pragma once
/* The types of Rust's v0 mangling. */
#include "symbols/v0.h"

void v0_type(struct v0 *v);
