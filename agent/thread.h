#pragma once
/*
 * The threads of this process, one slot each. A slot is never freed or moved, only reused, so that
 * a signal which arrives late finds memory, sees a tid that is not its own, and leaves.
 *
 * Lock: threads.lock guards birth and death of slots (CALM); everything else is atomics. Iterating
 * needs no lock.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/grid.h"
#include "agent/lock_slot.h"
#include "agent/lock_total.h"
#include "agent/parked.h"
#include "agent/table.h"
#include "common/arena.h"
#include "common/rng.h"

struct thread {
    _Alignas(ARENA_LINE) _Atomic(pid_t) tid; /* 0: the slot is free */
    uint32_t index;                          /* its place in the registry, for ever */
    bool adopted;      /* found in /proc, not seen being born: its TLS may be anybody's */
    atomic_int timer;  /* kernel timer id, -1: none */
    struct self *self; /* its TLS; NULL when adopted. Under the lock */
    uint64_t handle;   /* its pthread_t, 0 unknown */
    uint64_t start;    /* address of the function the thread began in, 0 unknown */
    uint64_t stack_hi; /* end of its stack, 0 unknown */
    atomic_uint_fast64_t stack_lo; /* from here to stack_hi every page was found readable */
    struct rng rng;
    unsigned samples;                /* of its CPU time; only its own handler counts */
    const struct who *_Atomic who;   /* made with the first row */
    atomic_bool untold;              /* it has none, and was counted */
    atomic_uint_fast64_t charged_ns; /* CPU clock up to which time stands in rows */
    struct row *_Atomic last;        /* row of the latest CPU sample */
    struct lock_slot waits;          /* what it waits for */
    struct grid held, waited;        /* its samples of the mutex and the block profile */
    struct lock_totals lock_totals;  /* of all threads that had this slot */
    struct parker parker;            /* its waits on a futex word of its own */
    struct thread *next_free;
};

enum { THREADS_PER_CHUNK = 64, THREADS_CHUNKS = 16384 };

struct threads {
    atomic_uint lock;
    struct thread *_Atomic chunks[THREADS_CHUNKS];
    atomic_uint n; /* slots ever made */
    struct thread *free;
    atomic_uint live;    /* host threads registered now, adopted ones not counted */
    atomic_uint adopted; /* slots of threads found in /proc */
    atomic_uint timers;  /* kernel timers that we hold */
    uint32_t cookie;     /* upper half of the value in our timers' signals */
};

/* Registers a thread: its slot, or NULL without memory. A thread that is adopted and then registers
 * itself keeps its slot; adopting one that is known gives NULL. CALM. */
struct thread *thread_add(pid_t tid, bool adopted, uint64_t start);
/* The end of the stack that an address near its end lies on. */
uint64_t thread_stack_end(uint64_t inside);
/* How much may be read at sp without care, now that the thread runs there; 0 on a stack we do not
 * know. Asks the kernel about each page once in the thread's life. ANYWHERE. */
uint64_t thread_stack_reach(struct thread *t, uint64_t sp);
/* Gives the slot back; its timer must be gone. CALM. */
void thread_remove(struct thread *t);
/* The slot of that number, NULL if it was never made. ANYWHERE. */
struct thread *thread_at(unsigned index);
static inline unsigned thread_slots(struct threads *s) {
    return atomic_load_explicit(&s->n, memory_order_acquire);
}
/* The next registered thread from slot *inout_at on, which moves behind it; NULL after the last.
 * Begin with 0. ANYWHERE. */
struct thread *thread_next(unsigned *inout_at);
/* The slot of a registered tid, or NULL. A linear search: CALM callers only. */
struct thread *thread_find(pid_t tid);
/* The tid of a registered thread by its pthread_t, 0 unknown. A linear search; ANYWHERE. */
pid_t thread_tid_of(uint64_t handle);
/* What a timer of t carries in its signal, and back: NULL if the value is not ours. ANYWHERE. */
void *thread_cookie(const struct thread *t);
struct thread *thread_of_cookie(void *value);
/* The identity that rows of t carry; NULL when half of the memory is in use. ANYWHERE. */
const struct who *thread_who(struct thread *t);
/* The same with the thread's name, for rows that are made while a profile is written: those of
 * threads_read_names() were read before. CALM. */
const struct who *thread_who_named(struct thread *t);
/* Reads the names of live threads into their identities. */
void threads_read_names(void);
/* Registers threads that /proc/self/task shows and we do not know, calling fn for each. */
void threads_scan(void (*fn)(struct thread *));
/* Forgets threads that ended without passing a door, calling gone for each: adopted ones, main by
 * cancellation, others by a bare exit system call. One caller at a time. CALM. */
void threads_notice_ends(void (*gone)(struct thread *));
/* From now on the ends of threads go unseen: all but main count as adopted. CALM. */
void threads_unwatch(void);
/* Ends the countdown of every registered thread: its next allocation asks anew (agent/heap.h). */
void threads_recount(void);
/* In a fork child: no thread is registered; the cookie stays. */
void threads_reset(void);
