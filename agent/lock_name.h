#pragma once
/*
 * ANYWHERE (with the agent's malloc; one caller at a time, the dumper). What a lock is called in
 * the label `lock`: the variable that it lies in, or its address in hexadecimal.
 */
#include "agent/lock_tag.h"
#include "common/fmt.h"

enum { LOCK_NAME_MAX = 256 };

/* The name of the tag's lock, looked up together with all that have none yet. "[other]": a lock
 * beyond the bound of lock_tag.h. */
void lock_name(struct text *t, struct chains *tags, const struct lock_tag *tag);
