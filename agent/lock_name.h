#pragma once
/*
 * ANYWHERE (with the agent's malloc). What a lock is called in the label `lock`: the symbol that it
 * lies in, or its address in hexadecimal.
 */
#include <stdint.h>

#include "common/fmt.h"

enum { LOCK_NAME_MAX = 256 };

/* 0 is "[other]": a lock beyond the bound of lock_tag.h. */
void lock_name(struct text *t, uintptr_t object);
