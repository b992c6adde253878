#pragma once
/* "Did you mean": the word of a list that a mistyped word is closest to. */
#include <stddef.h>

/* The closest of n words, or NULL when none is close (more than a third of the letters differ). */
const char *near_find(const char *word, const char *const *words, size_t n);
