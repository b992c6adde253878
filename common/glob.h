#pragma once
/* ANYWHERE. Shell globs with * ? and [a-z], without libc's locale. */
#include <stdbool.h>
#include <stddef.h>

/* True if the whole name matches the pattern of n bytes. Time grows with their product at worst. */
bool glob_match(const char *pattern, size_t n, const char *name);
