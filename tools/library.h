#pragma once
/* Where libcprof.so is: beside the command, in the build tree or where both were installed. */
#include <stdbool.h>
#include <stddef.h>

/* The absolute path, or false when there is none. */
bool library_find(char *ret_path, size_t n);
/* True when the loader would take path apart: it splits LD_PRELOAD at colons and spaces. */
bool library_unpreloadable(const char *path);
