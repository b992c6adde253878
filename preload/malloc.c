/*
 * HOT. The malloc doors. Each is one question to agent/hot.h and a jump to the real function; the
 * functions ending in _due are where the question was answered yes. Nothing here changes what the
 * host gets: size, alignment, address and errno are the real allocator's. Only a thread inside the
 * agent is served from the pool. What is sampled is agent/heap.h's to say; the doors of operator
 * new are in preload/new.c.
 *
 * A block of the pool is entered in the filter when it leaves through a door and taken out when it
 * comes back, whoever brings it back: ld.so frees in one thread, years later, what our dlopen made
 * it allocate.
 */
#include <errno.h>
#include <string.h>

#include "agent/filter.h"
#include "agent/heap.h"
#include "agent/hot.h"
#include "common/pool.h"
#include "preload/doors.h"
#include "preload/heap_door.h"
#include "preload/real.h"

/* A block on its way out of the pool. The caller is busy. */
static void *hand_out(void *p) {
    if (p)
        filter_pin(p);
    else
        errno = ENOMEM;
    return p;
}

/* A pool block comes back. One that is not live (freed twice) has left the filter already. */
static void take_back(void *p) {
    self_enter();
    if (pool_usable(p)) {
        filter_unpin(p);
        pool_free(p);
    }
    self_leave();
}

COLD void *malloc_due(size_t n) {
    if (hot_in_agent())
        return hand_out(pool_alloc(n));
    unsigned rate = heap_due(n);
    return heap_entered(rate, real.malloc(n), n);
}

DOOR void *malloc(size_t n) {
    if (hot_malloc_due(n))
        return malloc_due(n);
    return real.malloc(n);
}

COLD void *calloc_due(size_t n, size_t size) {
    if (hot_in_agent())
        return hand_out(pool_calloc(n, size));
    unsigned rate = heap_due(n * size);
    return heap_entered(rate, real.calloc(n, size), n * size);
}

/* A product that wraps miscounts one call that is about to fail. */
DOOR void *calloc(size_t n, size_t size) {
    if (hot_malloc_due(n * size))
        return calloc_due(n, size);
    return real.calloc(n, size);
}

/* Behind an allocator that lacks some of the family: what its guests get from us, they free with
 * it. */
static bool from_pool(void) { return hot_in_agent() && real.owns_malloc; }

/* Behind such an allocator nothing is sampled, and inside the agent nothing either. */
static unsigned due(size_t n) { return self.busy ? 0 : heap_due(n); }

/* Inside the agent a pool block stays in the pool. */
static void *resize_in_pool(void *p, size_t n) {
    if (!pool_usable(p))
        return hand_out(NULL);
    filter_unpin(p);
    void *fresh = pool_realloc(p, n);
    if (fresh)
        return hand_out(fresh);
    if (n == 0)
        return NULL;
    filter_pin(p);
    return hand_out(NULL);
}

/*
 * The host resizes a block that the pool once served: it moves to the host's allocator. What
 * resizing to zero means differs between allocators, so the real one is asked with a block of its
 * own.
 */
static void *move_out_of_pool(void *p, size_t n) {
    void *fresh = real.malloc(n ? n : 1);
    if (!fresh)
        return NULL;
    size_t have = pool_usable(p);
    memcpy(fresh, p, have < n ? have : n);
    take_back(p);
    return n ? fresh : real.realloc(fresh, 0);
}

/*
 * A block of the host's that may be sampled. It is out of the table while the real function
 * decides: when that moves it, another thread may get its old address at once. NULL means that
 * nothing changed, except that resizing to zero may free.
 */
static void *resize(unsigned rate, void *p, size_t n) {
    struct live_block old;
    bool sampled = heap_take(p, &old);
    void *fresh = real.realloc(p, n);
    if (sampled && !fresh && n != 0)
        heap_put_back(&old);
    else if (sampled)
        heap_freed(&old);
    return heap_entered(rate, fresh, n);
}

static void *realloc_asked(void *p, size_t n, bool counted_out) {
    bool in_agent = hot_in_agent();
    unsigned rate = in_agent || !counted_out ? 0 : heap_due(n);
    if (p && pool_owns(p))
        return in_agent ? resize_in_pool(p, n) : heap_entered(rate, move_out_of_pool(p, n), n);
    if (!p && in_agent)
        return hand_out(pool_alloc(n));
    return resize(rate, p, n);
}

COLD void *realloc_due(void *p, size_t n) { return realloc_asked(p, n, true); }

COLD void *realloc_kept(void *p, size_t n) { return realloc_asked(p, n, false); }

DOOR void *realloc(void *p, size_t n) {
    if (hot_malloc_due(n))
        return realloc_due(p, n);
    if (hot_free_due(p))
        return realloc_kept(p, n);
    return real.realloc(p, n);
}

static COLD void *reallocarray_due(void *p, size_t n, size_t size, bool counted_out) {
    size_t bytes;
    if (!__builtin_mul_overflow(n, size, &bytes) && real.owns_malloc)
        return realloc_asked(p, bytes, counted_out);
    if (counted_out)
        due(0);
    return real.reallocarray(p, n, size);
}

void *reallocarray(void *p, size_t n, size_t size) {
    if (hot_malloc_due(n * size))
        return reallocarray_due(p, n, size, true);
    if (hot_free_due(p))
        return reallocarray_due(p, n, size, false);
    return real.reallocarray(p, n, size);
}

/* Done with p: true if it came from the pool. A sampled block is taken out before it is free for
 * others. */
static COLD bool done_with(void *p) {
    if (heap_forgotten(p) || !pool_owns(p))
        return false;
    take_back(p);
    return true;
}

COLD void free_due(void *p) {
    if (!done_with(p))
        real.free(p);
}

DOOR void free(void *p) {
    if (hot_free_due(p)) {
        free_due(p);
        return;
    }
    real.free(p);
}

void cfree(void *p) {
    if (hot_free_due(p) && done_with(p))
        return;
    real.cfree(p);
}

void free_sized(void *p, size_t n) {
    if (hot_free_due(p) && done_with(p))
        return;
    real.free_sized(p, n);
}

void free_aligned_sized(void *p, size_t align, size_t n) {
    if (hot_free_due(p) && done_with(p))
        return;
    real.free_aligned_sized(p, align, n);
}

static bool is_power_of_two(size_t align) { return align && !(align & (align - 1)); }

static COLD int posix_memalign_due(void **ret_p, size_t align, size_t n) {
    if (!from_pool()) {
        unsigned rate = due(n);
        int err = real.posix_memalign(ret_p, align, n);
        if (!err)
            heap_enter(rate, *ret_p, n);
        return err;
    }
    if (!is_power_of_two(align) || align % sizeof(void *))
        return EINVAL;
    void *p = pool_aligned(align, n);
    if (!p)
        return ENOMEM;
    *ret_p = hand_out(p);
    return 0;
}

int posix_memalign(void **ret_p, size_t align, size_t n) {
    if (hot_malloc_due(n))
        return posix_memalign_due(ret_p, align, n);
    return real.posix_memalign(ret_p, align, n);
}

/* The aligned functions of the agent's guests: a pool block, or EINVAL. */
static void *aligned_from_pool(size_t align, size_t n) {
    if (is_power_of_two(align))
        return hand_out(pool_aligned(align, n));
    errno = EINVAL;
    return NULL;
}

static COLD void *aligned_alloc_due(size_t align, size_t n) {
    if (from_pool())
        return aligned_from_pool(align, n);
    unsigned rate = due(n);
    return heap_entered(rate, real.aligned_alloc(align, n), n);
}

void *aligned_alloc(size_t align, size_t n) {
    if (hot_malloc_due(n))
        return aligned_alloc_due(align, n);
    return real.aligned_alloc(align, n);
}

static COLD void *memalign_due(size_t align, size_t n) {
    if (from_pool())
        return aligned_from_pool(align, n);
    unsigned rate = due(n);
    return heap_entered(rate, real.memalign(align, n), n);
}

void *memalign(size_t align, size_t n) {
    if (hot_malloc_due(n))
        return memalign_due(align, n);
    return real.memalign(align, n);
}

/* The largest page of any kernel we run on (aarch64): whole pages of it are whole pages of all. */
enum { PAGE = 64 << 10 };

static COLD void *valloc_due(size_t n) {
    if (from_pool())
        return aligned_from_pool(PAGE, n);
    unsigned rate = due(n);
    return heap_entered(rate, real.valloc(n), n);
}

void *valloc(size_t n) {
    if (hot_malloc_due(n))
        return valloc_due(n);
    return real.valloc(n);
}

static COLD void *pvalloc_due(size_t n) {
    if (!from_pool()) {
        unsigned rate = due(n);
        return heap_entered(rate, real.pvalloc(n), n);
    }
    size_t bytes;
    if (__builtin_add_overflow(n, (size_t)PAGE - 1, &bytes))
        return hand_out(NULL);
    return aligned_from_pool(PAGE, bytes & ~(size_t)(PAGE - 1));
}

void *pvalloc(size_t n) {
    if (hot_malloc_due(n))
        return pvalloc_due(n);
    return real.pvalloc(n);
}

static COLD size_t malloc_usable_size_due(void *p) {
    return pool_owns(p) ? pool_usable(p) : real.malloc_usable_size(p);
}

size_t malloc_usable_size(void *p) {
    if (hot_free_due(p))
        return malloc_usable_size_due(p);
    return real.malloc_usable_size(p);
}
