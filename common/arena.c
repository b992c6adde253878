/*
 * A chunk is bumped with one fetch_add; the thread that overshoots maps the next chunk and
 * publishes it with one compare-exchange. Losing that race costs one unmapped chunk, never a wait.
 * The unused tail of a chunk is lost: at most the size of one request out of a mebibyte.
 *
 * A chunk's first page holds only its header and is not wiped on fork, so that a child can find the
 * chunks it inherited and give them back; everything behind it reads as zero there.
 */
#include "common/arena.h"

#include <sys/mman.h>

#include "common/sys.h"

enum { CHUNK_FIRST = 64 << 10, CHUNK_MAX = 1 << 20, ALIGN = 16, PAGE = 4096 };

struct arena_chunk {
    struct arena_chunk *older;
    size_t size;
    atomic_size_t used;
};

static struct arena_chunk *chunk_new(struct arena *a, struct arena_chunk *older, size_t need) {
    size_t size = older ? CHUNK_MAX : CHUNK_FIRST;
    if (need + PAGE > size)
        size = (need + 2 * PAGE - 1) & ~(size_t)(PAGE - 1);
    size_t before = atomic_fetch_add_explicit(&a->mapped, size, memory_order_relaxed);
    struct arena_chunk *c = NULL;
    if (!a->limit || before + size <= a->limit)
        c = sys_map(size);
    if (!c) {
        atomic_fetch_sub_explicit(&a->mapped, size, memory_order_relaxed);
        return NULL;
    }
    sys_call_3(SYS_madvise, (char *)c + PAGE, size - PAGE, MADV_WIPEONFORK);
    c->older = older;
    c->size = size;
    atomic_store_explicit(&c->used, PAGE, memory_order_relaxed);
    return c;
}

static void chunk_free(struct arena *a, struct arena_chunk *c, size_t size) {
    atomic_fetch_sub_explicit(&a->mapped, size, memory_order_relaxed);
    sys_unmap(c, size);
}

void *arena_alloc(struct arena *a, size_t n) {
    n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    struct arena_chunk *c = atomic_load_explicit(&a->chunk, memory_order_acquire);
    for (;;) {
        if (c) {
            size_t at = atomic_fetch_add_explicit(&c->used, n, memory_order_relaxed);
            if (at + n <= c->size)
                return (char *)c + at;
        }
        struct arena_chunk *next = chunk_new(a, c, n);
        if (!next) {
            atomic_fetch_add_explicit(&a->refused, 1, memory_order_relaxed);
            return NULL;
        }
        atomic_store_explicit(&next->used, PAGE + n, memory_order_relaxed);
        if (atomic_compare_exchange_strong_explicit(&a->chunk, &c, next, memory_order_acq_rel,
                                                    memory_order_acquire))
            return (char *)next + PAGE;
        chunk_free(a, next, next->size);
    }
}

void arena_reset(struct arena *a) {
    struct arena_chunk *c = atomic_exchange_explicit(&a->chunk, NULL, memory_order_acq_rel);
    while (c) {
        struct arena_chunk *older = c->older;
        chunk_free(a, c, c->size);
        c = older;
    }
    atomic_store_explicit(&a->mapped, 0, memory_order_relaxed);
    atomic_store_explicit(&a->refused, 0, memory_order_relaxed);
}
