/*
 * Small blocks: 40 size classes up to 32 KiB (steps of 16 to 128, then four to a doubling, so at
 * most a fifth is lost), each a LIFO list of free blocks, cut from chunks of 64 KiB to 1 MiB that
 * are never given back. Larger blocks are mappings of their own.
 *
 * Every block starts with a head, and the word before the user's pointer is always one: `live`
 * holds a value made from the address while the block is out and 0 otherwise. That makes freeing
 * twice a no-op.
 *
 * pool_owns() reads no memory but the list of spans: which address ranges are ours. Spans are
 * appended and reused, never removed. A writer closes a span (bytes = 0) before it changes `start`,
 * and opens it last; a reader takes bytes, start, bytes again and believes only a pair that stood
 * still. A start of 0 ends the list: a few dozen spans in practice, so a scan of a few cache lines.
 *
 * When the spin lock gives up (common/spin.h) an allocation fails and a free leaks, which is all
 * that can be done without waiting for ever.
 */
#include "common/pool.h"

#include <stdatomic.h>
#include <string.h>

#include "common/spin.h"
#include "common/sys.h"

enum {
    ALIGN = 16,
    CLASSES = 40,
    LARGE = CLASSES, /* the class of a block that is a mapping */
    SMALL_MAX = 32 << 10,
    CHUNK_FIRST = 64 << 10,
    CHUNK_MAX = 1 << 20,
    PAGE = 4096,
    SPANS = 255, /* with the link, one page per table */
};

struct head {
    uint64_t live;
    uint32_t class;
    uint32_t back; /* bytes from here to the head that begins the block */
};
_Static_assert(sizeof(struct head) == ALIGN, "blocks stay aligned");

struct free_block {
    struct head head;
    struct free_block *next;
};

struct span {
    _Atomic uintptr_t start;
    _Atomic size_t bytes; /* 0: closed */
};

struct spans {
    struct span at[SPANS];
    _Atomic(struct spans *) more;
};

static struct {
    _Atomic uint32_t locked;
    bool fork_holds;
    struct free_block *free[CLASSES];
    char *chunk, *chunk_end; /* what is left of the newest chunk */
    size_t next_chunk;
    atomic_size_t mapped;
    struct spans spans;
} pool;

static bool lock(void) { return spin_lock(&pool.locked, SPIN_PATIENCE); }

static void unlock(void) { spin_unlock(&pool.locked); }

/* Spans. Writers hold the lock. */

static bool span_open(void *start, size_t bytes) {
    for (struct spans *t = &pool.spans;; t = atomic_load_explicit(&t->more, memory_order_relaxed)) {
        for (unsigned i = 0; i < SPANS; i++) {
            struct span *s = &t->at[i];
            if (atomic_load_explicit(&s->bytes, memory_order_relaxed))
                continue;
            atomic_store_explicit(&s->start, (uintptr_t)start, memory_order_release);
            atomic_store_explicit(&s->bytes, bytes, memory_order_release);
            return true;
        }
        if (!atomic_load_explicit(&t->more, memory_order_relaxed)) {
            struct spans *fresh = sys_map(sizeof *fresh);
            if (!fresh)
                return false;
            atomic_fetch_add_explicit(&pool.mapped, sizeof *fresh, memory_order_relaxed);
            atomic_store_explicit(&t->more, fresh, memory_order_release);
        }
    }
}

/* The range around p: true and its bounds. Lock-free. */
static bool span_find(const void *p, uintptr_t *ret_start, size_t *ret_bytes) {
    for (struct spans *t = &pool.spans; t;
         t = atomic_load_explicit(&t->more, memory_order_acquire)) {
        for (unsigned i = 0; i < SPANS; i++) {
            size_t bytes = atomic_load_explicit(&t->at[i].bytes, memory_order_acquire);
            uintptr_t start = atomic_load_explicit(&t->at[i].start, memory_order_acquire);
            if (!start)
                return false;
            if ((uintptr_t)p - start >= bytes ||
                atomic_load_explicit(&t->at[i].bytes, memory_order_relaxed) != bytes)
                continue;
            *ret_start = start;
            *ret_bytes = bytes;
            return true;
        }
    }
    return false;
}

static void span_close(uintptr_t start) {
    for (struct spans *t = &pool.spans; t; t = atomic_load_explicit(&t->more, memory_order_relaxed))
        for (unsigned i = 0; i < SPANS; i++)
            if (atomic_load_explicit(&t->at[i].start, memory_order_relaxed) == start)
                atomic_store_explicit(&t->at[i].bytes, 0, memory_order_release);
}

static void *map_span(size_t bytes) {
    void *p = sys_map(bytes);
    if (!p)
        return NULL;
    if (!span_open(p, bytes)) {
        sys_unmap(p, bytes);
        return NULL;
    }
    atomic_fetch_add_explicit(&pool.mapped, bytes, memory_order_relaxed);
    return p;
}

/* Size classes. bytes counts the head and is at most SMALL_MAX. */

static unsigned class_of(size_t bytes) {
    if (bytes <= 128)
        return (unsigned)((bytes + ALIGN - 1) / ALIGN - 1);
    unsigned log = 63 - (unsigned)__builtin_clzll(bytes - 1);
    return 8 + (log - 7) * 4 + (unsigned)((bytes - 1) >> (log - 2) & 3);
}

static size_t class_bytes(unsigned class) {
    if (class < 8)
        return (class + 1) * (size_t)ALIGN;
    unsigned log = 7 + (class - 8) / 4;
    return ((size_t)1 << log) + (((size_t)(class - 8) % 4 + 1) << (log - 2));
}

/* Heads. */

static uint64_t live_mark(const struct head *h) { return (uintptr_t)h ^ 0x6c6f6f70666f7270u; }

static void head_set(struct head *h, unsigned class, size_t back) {
    *h = (struct head){live_mark(h), class, (uint32_t)back};
}

/* The head before p if p is a live block of ours, with the end of the span it lies in. */
static struct head *head_find(const void *p, uintptr_t *ret_end) {
    uintptr_t start;
    size_t bytes;
    if ((uintptr_t)p % ALIGN || !span_find(p, &start, &bytes) || (uintptr_t)p - start < ALIGN)
        return NULL;
    struct head *h = (struct head *)p - 1;
    *ret_end = start + bytes;
    return h->live == live_mark(h) ? h : NULL;
}

static struct head *head_of_block(struct head *h) { return (struct head *)((char *)h - h->back); }

static size_t usable(const struct head *h, uintptr_t end) {
    if (h->class != LARGE)
        end = (uintptr_t)h - h->back + class_bytes(h->class);
    return end - (uintptr_t)(h + 1);
}

/* Allocation. */

static struct head *cut_from_chunk(size_t bytes) {
    if ((size_t)(pool.chunk_end - pool.chunk) < bytes) {
        size_t size = pool.next_chunk ? pool.next_chunk : CHUNK_FIRST;
        char *chunk = map_span(size);
        if (!chunk)
            return NULL;
        pool.chunk = chunk;
        pool.chunk_end = chunk + size;
        pool.next_chunk = size < CHUNK_MAX ? size * 2 : CHUNK_MAX;
    }
    struct head *h = (struct head *)(void *)pool.chunk;
    pool.chunk += bytes;
    return h;
}

static struct head *take_small(unsigned class) {
    struct free_block *b = pool.free[class];
    if (!b)
        return cut_from_chunk(class_bytes(class));
    pool.free[class] = b->next;
    return &b->head;
}

/* n usable bytes at a multiple of align; with room to move up when align is more than the natural
 * one. */
static void *allocate(size_t align, size_t n) {
    size_t bytes, extra = sizeof(struct head) + (align > ALIGN ? align : 0);
    n = n ? n : 1;
    if (__builtin_add_overflow(n, extra, &bytes) || bytes > PTRDIFF_MAX - PAGE ||
        extra > UINT32_MAX)
        return NULL;
    if (bytes < sizeof(struct free_block))
        bytes = sizeof(struct free_block);
    unsigned class = bytes <= SMALL_MAX ? class_of(bytes) : LARGE;
    if (!lock())
        return NULL;
    struct head *h =
        class == LARGE ? map_span((bytes + PAGE - 1) & ~(size_t)(PAGE - 1)) : take_small(class);
    unlock();
    if (!h)
        return NULL;
    head_set(h, class, 0);
    if (align <= ALIGN)
        return h + 1;
    uintptr_t user = ((uintptr_t)(h + 1) + align - 1) & ~(uintptr_t)(align - 1);
    struct head *at = (struct head *)user - 1;
    head_set(at, class, (size_t)((char *)at - (char *)h));
    return at + 1;
}

void *pool_alloc(size_t n) { return allocate(ALIGN, n); }

void *pool_aligned(size_t align, size_t n) { return allocate(align, n); }

void *pool_calloc(size_t n, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes))
        return NULL;
    void *p = pool_alloc(bytes);
    /* A large block is fresh from the kernel. */
    return p && ((struct head *)p)[-1].class != LARGE ? memset(p, 0, bytes) : p;
}

void pool_free(void *p) {
    uintptr_t end;
    if (!p || !lock())
        return;
    struct head *h = head_find(p, &end);
    if (h) {
        unsigned class = h->class;
        struct head *block = head_of_block(h);
        h->live = block->live = 0;
        if (class == LARGE) {
            span_close((uintptr_t)block);
            atomic_fetch_sub_explicit(&pool.mapped, end - (uintptr_t)block, memory_order_relaxed);
            sys_unmap(block, end - (uintptr_t)block);
        } else {
            struct free_block *b = (struct free_block *)block;
            b->next = pool.free[class];
            pool.free[class] = b;
        }
    }
    unlock();
}

size_t pool_usable(const void *p) {
    uintptr_t end;
    struct head *h = head_find(p, &end);
    return h ? usable(h, end) : 0;
}

void *pool_realloc(void *p, size_t n) {
    if (!p)
        return pool_alloc(n);
    size_t have = pool_usable(p);
    if (n == 0 || have == 0) {
        pool_free(p);
        return NULL;
    }
    if (n <= have)
        return p;
    void *fresh = pool_alloc(n);
    if (!fresh)
        return NULL;
    memcpy(fresh, p, have);
    pool_free(p);
    return fresh;
}

bool pool_owns(const void *p) {
    uintptr_t start;
    size_t bytes;
    return span_find(p, &start, &bytes);
}

void pool_each_span(void (*fn)(const void *start, size_t bytes, void *arg), void *arg) {
    for (struct spans *t = &pool.spans; t; t = atomic_load_explicit(&t->more, memory_order_relaxed))
        for (unsigned i = 0; i < SPANS; i++)
            if (atomic_load_explicit(&t->at[i].bytes, memory_order_relaxed))
                fn((const void *)atomic_load_explicit(&t->at[i].start, memory_order_relaxed),
                   atomic_load_explicit(&t->at[i].bytes, memory_order_relaxed), arg);
}

size_t pool_mapped(void) { return atomic_load_explicit(&pool.mapped, memory_order_relaxed); }

void pool_fork_prepare(void) { pool.fork_holds = lock(); }

void pool_fork_release(void) {
    if (pool.fork_holds) {
        pool.fork_holds = false;
        unlock();
    }
}
