#pragma once
/*
 * /tmp/perf-PID.map, where JIT compilers write "START SIZE name" (hex, hex, rest of the line). They
 * only append, so of two lines that cover an address the later one is right. Anybody can write to
 * /tmp: the file must be regular, no link, ours or root's, and at most 64 MiB; lines that make no
 * sense are skipped.
 */
#include <stddef.h>

#include "symbols/wanted.h"

/* Calls found(context, w, name) for each of the n addresses (sorted by run-time address) that has a
 * name. 0 or -errno. */
int perf_map_find(const char *path, struct wanted *w, size_t n,
                  void (*found)(void *context, const struct wanted *w, const char *name),
                  void *context);
