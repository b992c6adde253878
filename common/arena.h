#pragma once
/*
 * Memory for the agent's own tables: append-only, lock-free, bounded. Anywhere zone: a signal
 * handler and a thread inside malloc may allocate at the same time. Nothing is freed one by one; a
 * forked child finds every page wiped (MADV_WIPEONFORK) and starts with arena_reset().
 *
 * Chunks are at most 1 MiB and mapped when they are needed, because a host under RLIMIT_AS or
 * mlockall(MCL_FUTURE) would pay for a large reservation.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct arena {
    _Atomic(struct arena_chunk *) chunk; /* the newest, bump-allocated */
    atomic_size_t mapped;                /* bytes taken from the kernel */
    size_t limit;                        /* bytes; 0 means no bound */
    atomic_uint_fast64_t refused;        /* requests that found no memory */
};

/* Zeroed memory aligned to 16 bytes, or NULL when the bound or the kernel says no. */
void *arena_alloc(struct arena *a, size_t n);
/* The same, beginning with a cache line: for what several threads write. */
enum { ARENA_LINE = 64 };
void *arena_alloc_lines(struct arena *a, size_t n);
/* The n objects that an atomic pointer leads to, made so with the first call; of several threads
 * that make them at once one wins. NULL as above. */
#define ARENA_LINES_ONCE(a, pointer, n)                                             \
    ({                                                                              \
        __auto_type once_ = atomic_load_explicit(pointer, memory_order_acquire);    \
        if (!once_) {                                                               \
            __typeof__(once_) fresh_ = arena_alloc_lines(a, (n) * sizeof *once_);   \
            if (!fresh_ || atomic_compare_exchange_strong(pointer, &once_, fresh_)) \
                once_ = fresh_;                                                     \
        }                                                                           \
        once_;                                                                      \
    })
/* A zeroed mapping of its own under the same bound, which can be given back; a forked child keeps
 * its contents. n is a multiple of the page size. NULL as above. */
void *arena_map(struct arena *a, size_t n);
void arena_unmap(struct arena *a, void *p, size_t n);
/* Its pages go back to the kernel and read as zero from now on; the addresses stay taken. */
void arena_empty(struct arena *a, void *p, size_t n);
/* Gives everything back but mappings. Only when nobody else can hold a pointer: a fresh fork child,
 * a test. */
void arena_reset(struct arena *a);
static inline size_t arena_mapped(struct arena *a) {
    return atomic_load_explicit(&a->mapped, memory_order_relaxed);
}
