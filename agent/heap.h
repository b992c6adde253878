#pragma once
/*
 * ANYWHERE, except heap_set_rate. Which allocations are sampled, and what becomes of them. The
 * doors (preload/malloc.c, preload/new.c) ask heap_due() when the countdown ran out, call the real
 * function, and enter what it returned:
 *
 *     malloc     due -> real -> enter            free      take -> freed -> real
 *     realloc    due -> take -> real -> freed, enter; on failure put back
 *
 * A block leaves the table before the real free: from then on another thread may be given its
 * address and enter it. The blocks themselves are the real allocator's, untouched.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/live.h"
#include "agent/table.h"

/* Values of a row. */
enum { HEAP_ALLOC_OBJECTS, HEAP_ALLOC_SPACE, HEAP_INUSE_OBJECTS, HEAP_INUSE_SPACE };

/*
 * A rate's number, 16 bits in each live block: which of the rates that were ever asked for (from
 * 1), and how often it was doubled since. 0: nothing is sampled.
 */
enum { HEAP_DOUBLINGS = 32, HEAP_RATES = 64 };

struct heap {
    struct table table; /* (stack, nobody, size class) */
    struct live live;
    _Atomic uint32_t rate;              /* the number in force */
    _Atomic uint64_t rates[HEAP_RATES]; /* asked for, from 1 on */
    _Atomic uint32_t locked;            /* guards setting the rate */
    atomic_uint_fast64_t samples;
    atomic_uint_fast64_t missed_frees; /* an address was sampled twice without a free between */
    atomic_int_fast64_t live_bytes;    /* estimate */
    struct {
        atomic_uint_fast64_t began_ns;
        atomic_uint n;
        atomic_uint doublings_most;
    } window; /* of adapting the rate to a storm of samples */
    struct {
        bool on;
        _Atomic uint32_t locked;
        atomic_int_fast64_t bytes;
    } peak; /* the rows' peak[] are those of the moment when live_bytes was that */
};

extern struct heap heap;

/* The countdown ran out at a block of that size: the number of the rate it is sampled with, or 0.
 * The next countdown has begun. */
unsigned heap_due(size_t size);
/* The real allocator returned p for it (NULL is none). Does nothing when rate is 0. */
void heap_enter(unsigned rate, void *p, size_t size);
/* Takes p out of the table: false when it was not sampled. The caller then says what became of it.
 */
bool heap_take(void *p, struct live_block *ret);
void heap_freed(const struct live_block *b);
void heap_put_back(const struct live_block *b);
/* Bytes between samples on average, at most GAP_RATE_MAX; 0 stops sampling (blocks in use stay
 * known, their frees are still seen). Existing samples keep their weight. CALM: 0 or -errno. */
int heap_set_rate(uint64_t rate);
/* The bytes that a rate's number stands for. */
static inline uint64_t heap_rate_bytes(unsigned rate) {
    return atomic_load_explicit(&heap.rates[rate / HEAP_DOUBLINGS], memory_order_relaxed)
           << rate % HEAP_DOUBLINGS;
}
/* What a row is tagged with for a block of that size. */
uint64_t heap_size_class(uint64_t size, uint64_t rows);
/* In a fork child, or in a test: nothing is known, sampling goes on. */
void heap_reset(void);
