/*
 * HOT. The doors of operator new and delete. libstdc++'s call malloc and free by their public names
 * and come through those doors; only an allocator with operators of its own (jemalloc, tcmalloc,
 * mimalloc) would pass us by. Where these doors stand in front of libstdc++'s, they just lead on
 * (owns_new), and from the end of our look-up on they are not to be found any more (real.c): a
 * plugin with a C++ library of its own, in a program without one, must bind as if we were not
 * there.
 *
 * A door may be left by an exception, bad_alloc: nothing is begun before the real function returns.
 */
#include "agent/hot.h"
#include "common/pool.h"
#include "preload/heap_door.h"
#include "preload/real.h"

/* Inside the agent only the allocator itself, called by us, gets here. */
static COLD unsigned due(size_t n) { return hot_in_agent() ? 0 : heap_due(n); }

static inline bool sampled(enum real_new row, size_t n) {
    return (real.owns_new & 1u << row) && hot_malloc_due(n);
}

/* A block of the pool, which no operator handed out, is for free to take. */
static COLD bool delete_due(void *p) {
    if (heap_forgotten(p) || !pool_owns(p))
        return false;
    free(p);
    return true;
}

static COLD void *Znwm_due(size_t n) {
    unsigned rate = due(n);
    return heap_entered(rate, real._Znwm(n), n);
}

void *_Znwm(size_t n) {
    if (sampled(NEW_Znwm, n))
        return Znwm_due(n);
    return real._Znwm(n);
}

static COLD void *Znam_due(size_t n) {
    unsigned rate = due(n);
    return heap_entered(rate, real._Znam(n), n);
}

void *_Znam(size_t n) {
    if (sampled(NEW_Znam, n))
        return Znam_due(n);
    return real._Znam(n);
}

static COLD void *ZnwmRKSt9nothrow_t_due(size_t n, const void *nothrow) {
    unsigned rate = due(n);
    return heap_entered(rate, real._ZnwmRKSt9nothrow_t(n, nothrow), n);
}

void *_ZnwmRKSt9nothrow_t(size_t n, const void *nothrow) {
    if (sampled(NEW_ZnwmRKSt9nothrow_t, n))
        return ZnwmRKSt9nothrow_t_due(n, nothrow);
    return real._ZnwmRKSt9nothrow_t(n, nothrow);
}

static COLD void *ZnamRKSt9nothrow_t_due(size_t n, const void *nothrow) {
    unsigned rate = due(n);
    return heap_entered(rate, real._ZnamRKSt9nothrow_t(n, nothrow), n);
}

void *_ZnamRKSt9nothrow_t(size_t n, const void *nothrow) {
    if (sampled(NEW_ZnamRKSt9nothrow_t, n))
        return ZnamRKSt9nothrow_t_due(n, nothrow);
    return real._ZnamRKSt9nothrow_t(n, nothrow);
}

static COLD void *ZnwmSt11align_val_t_due(size_t n, size_t align) {
    unsigned rate = due(n);
    return heap_entered(rate, real._ZnwmSt11align_val_t(n, align), n);
}

void *_ZnwmSt11align_val_t(size_t n, size_t align) {
    if (sampled(NEW_ZnwmSt11align_val_t, n))
        return ZnwmSt11align_val_t_due(n, align);
    return real._ZnwmSt11align_val_t(n, align);
}

static COLD void *ZnamSt11align_val_t_due(size_t n, size_t align) {
    unsigned rate = due(n);
    return heap_entered(rate, real._ZnamSt11align_val_t(n, align), n);
}

void *_ZnamSt11align_val_t(size_t n, size_t align) {
    if (sampled(NEW_ZnamSt11align_val_t, n))
        return ZnamSt11align_val_t_due(n, align);
    return real._ZnamSt11align_val_t(n, align);
}

static COLD void *ZnwmSt11align_val_tRKSt9nothrow_t_due(size_t n, size_t align,
                                                        const void *nothrow) {
    unsigned rate = due(n);
    return heap_entered(rate, real._ZnwmSt11align_val_tRKSt9nothrow_t(n, align, nothrow), n);
}

void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t n, size_t align, const void *nothrow) {
    if (sampled(NEW_ZnwmSt11align_val_tRKSt9nothrow_t, n))
        return ZnwmSt11align_val_tRKSt9nothrow_t_due(n, align, nothrow);
    return real._ZnwmSt11align_val_tRKSt9nothrow_t(n, align, nothrow);
}

static COLD void *ZnamSt11align_val_tRKSt9nothrow_t_due(size_t n, size_t align,
                                                        const void *nothrow) {
    unsigned rate = due(n);
    return heap_entered(rate, real._ZnamSt11align_val_tRKSt9nothrow_t(n, align, nothrow), n);
}

void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t n, size_t align, const void *nothrow) {
    if (sampled(NEW_ZnamSt11align_val_tRKSt9nothrow_t, n))
        return ZnamSt11align_val_tRKSt9nothrow_t_due(n, align, nothrow);
    return real._ZnamSt11align_val_tRKSt9nothrow_t(n, align, nothrow);
}

void _ZdlPv(void *p) {
    if (hot_free_due(p) && delete_due(p))
        return;
    real._ZdlPv(p);
}

void _ZdaPv(void *p) {
    if (hot_free_due(p) && delete_due(p))
        return;
    real._ZdaPv(p);
}

void _ZdlPvm(void *p, size_t n) {
    if (hot_free_due(p) && delete_due(p))
        return;
    real._ZdlPvm(p, n);
}

void _ZdaPvm(void *p, size_t n) {
    if (hot_free_due(p) && delete_due(p))
        return;
    real._ZdaPvm(p, n);
}

void _ZdlPvRKSt9nothrow_t(void *p, const void *nothrow) {
    if (hot_free_due(p) && delete_due(p))
        return;
    real._ZdlPvRKSt9nothrow_t(p, nothrow);
}

void _ZdaPvRKSt9nothrow_t(void *p, const void *nothrow) {
    if (hot_free_due(p) && delete_due(p))
        return;
    real._ZdaPvRKSt9nothrow_t(p, nothrow);
}

void _ZdlPvSt11align_val_t(void *p, size_t align) {
    if (hot_free_due(p) && delete_due(p))
        return;
    real._ZdlPvSt11align_val_t(p, align);
}

void _ZdaPvSt11align_val_t(void *p, size_t align) {
    if (hot_free_due(p) && delete_due(p))
        return;
    real._ZdaPvSt11align_val_t(p, align);
}

void _ZdlPvmSt11align_val_t(void *p, size_t n, size_t align) {
    if (hot_free_due(p) && delete_due(p))
        return;
    real._ZdlPvmSt11align_val_t(p, n, align);
}

void _ZdaPvmSt11align_val_t(void *p, size_t n, size_t align) {
    if (hot_free_due(p) && delete_due(p))
        return;
    real._ZdaPvmSt11align_val_t(p, n, align);
}

void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *nothrow) {
    if (hot_free_due(p) && delete_due(p))
        return;
    real._ZdlPvSt11align_val_tRKSt9nothrow_t(p, align, nothrow);
}

void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *nothrow) {
    if (hot_free_due(p) && delete_due(p))
        return;
    real._ZdaPvSt11align_val_tRKSt9nothrow_t(p, align, nothrow);
}
