#pragma once
/*
 * malloc for the libraries that the agent links or loads (zlib, protobuf-c, libelf, libunwind,
 * ld.so while it loads them): the host's allocator, its locks and its statistics are never touched.
 * Mapped in chunks of at most 1 MiB as needed; large blocks get a mapping of their own and give it
 * back.
 *
 * A block may be freed by anybody at any time later (ld.so keeps tables that it grew while we
 * loaded a library), so pool_owns() must answer for every pointer, quickly and without a lock, for
 * ever.
 *
 * Lock: one spin lock inside, held for a few instructions, never while the agent could be
 * interrupted by its own handler into the pool: callers set self.busy around every call. NOT wiped
 * in a forked child: ld.so's link maps may live here.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *pool_alloc(size_t n);
void *pool_calloc(size_t n, size_t size);
void *pool_aligned(size_t align, size_t n); /* align a power of two */
void *pool_realloc(void *p, size_t n);      /* p NULL or from the pool */
void pool_free(void *p);                    /* NULL or from the pool */
size_t pool_usable(const void *p);
bool pool_owns(const void *p);
/* The ranges for which it says yes, whole pages. In a process with one thread. */
void pool_each_span(void (*fn)(const void *start, size_t bytes, void *arg), void *arg);
/* Bytes taken from the kernel now. */
size_t pool_mapped(void);
/* Around fork: prepare takes the lock so that the child finds the pool whole; both sides release
 * it. */
void pool_fork_prepare(void);
void pool_fork_release(void);
