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

/* Pages within the bound, or NULL. */
static void *map(struct arena *a, size_t size) {
    size_t before = atomic_fetch_add_explicit(&a->mapped, size, memory_order_relaxed);
    void *p = !a->limit || before + size <= a->limit ? sys_map(size) : NULL;
    if (!p)
        atomic_fetch_sub_explicit(&a->mapped, size, memory_order_relaxed);
    return p;
}

void *arena_map(struct arena *a, size_t n) {
    void *p = map(a, n);
    if (!p)
        atomic_fetch_add_explicit(&a->refused, 1, memory_order_relaxed);
    return p;
}

void arena_unmap(struct arena *a, void *p, size_t n) {
    atomic_fetch_sub_explicit(&a->mapped, n, memory_order_relaxed);
    sys_unmap(p, n);
}

void arena_empty(struct arena *a, void *p, size_t n) {
    atomic_fetch_sub_explicit(&a->mapped, n, memory_order_relaxed);
    sys_empty(p, n);
}

static size_t chunk_size(size_t need, size_t wanted) {
    return need + PAGE > wanted ? (need + 2 * PAGE - 1) & ~(size_t)(PAGE - 1) : wanted;
}

/* Near the bound a small one. */
static struct arena_chunk *chunk_new(struct arena *a, struct arena_chunk *older, size_t need) {
    size_t size = chunk_size(need, older ? CHUNK_MAX : CHUNK_FIRST);
    struct arena_chunk *c = map(a, size);
    if (!c)
        c = map(a, size = chunk_size(need, CHUNK_FIRST));
    if (!c)
        return NULL;
    sys_call_3(SYS_madvise, (char *)c + PAGE, size - PAGE, MADV_WIPEONFORK);
    c->older = older;
    c->size = size;
    atomic_store_explicit(&c->used, PAGE, memory_order_relaxed);
    return c;
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
        arena_unmap(a, next, next->size);
    }
}

void *arena_alloc_lines(struct arena *a, size_t n) {
    char *p = arena_alloc(a, n + ARENA_LINE - ALIGN);
    return p ? p + (-(uintptr_t)p & (ARENA_LINE - 1)) : NULL;
}

void arena_reset(struct arena *a) {
    struct arena_chunk *c = atomic_exchange_explicit(&a->chunk, NULL, memory_order_acq_rel);
    while (c) {
        struct arena_chunk *older = c->older;
        arena_unmap(a, c, c->size);
        c = older;
    }
    atomic_store_explicit(&a->mapped, 0, memory_order_relaxed);
    atomic_store_explicit(&a->refused, 0, memory_order_relaxed);
}
