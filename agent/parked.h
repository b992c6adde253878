#pragma once
/*
 * ANYWHERE. Futex words that one thread alone sleeps on, as in parking_lot or thread::park: a wake
 * of such a word says who may go on, and nothing about the lock that it was all about. Of a word
 * that several threads wait for, the lock is known: it is the word.
 *
 * Whose a word is, is seen: it is a thread's own as long as no other thread waits for it. A word
 * that others waited for is one's own again after some waits in a row, or when the former owner
 * has ended (thread-local memory is used again).
 *
 * Locks: a spin in each bucket, then one in each parker.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/blame.h"
#include "common/arena.h"

struct thread;

/* In each struct thread: its wait for a word, and what its waits up to now are blamed on. Valid
 * when zero. */
struct parker {
    atomic_uint spin;  /* of the next three */
    const void *word;  /* what it sleeps on, NULL: it does not */
    uint64_t since;    /* when that began */
    struct blame wait; /* what is known of that wait so far; others write it */
    struct blame past; /* of this thread alone */
};

enum { PARKED_BUCKETS = 1024, PARKED_WAYS = 4, PARKED_STRANGE = 8 };

struct parked_entry {
    const void *word;      /* NULL: free */
    struct thread *thread; /* who waited for it last */
    pid_t tid;             /* its, for the slot may be another's by now */
    unsigned strange;      /* waits in a row until it is the thread's own; 0: it is */
};

struct parked {
    struct parked_bucket {
        _Alignas(ARENA_LINE) atomic_uint spin;
        unsigned next; /* to make room */
        struct parked_entry at[PARKED_WAYS];
    } buckets[PARKED_BUCKETS];
};

/* t, the caller, is about to sleep on the word. */
void parked_enter(struct parked *p, const void *word, struct thread *t, uint64_t now);
/* The thread that sleeps on a word of its own, at least since then; NULL: there is none. */
struct thread *parked_sleeper(struct parked *p, const void *word, uint64_t since);
/* If it still does: [from, to] of its wait was the doing of one with this past, and of `own`. */
void parked_blame(struct thread *t, const void *word, const struct blame *past, uint64_t from,
                  uint64_t to, const struct blamed *own);
/* t, the caller, goes on at `now`; woken: by somebody who said so, or not. */
void parked_leave(struct thread *t, uint64_t now, bool woken);
/* t is another thread from now on. */
void parked_forget(struct thread *t);
