#pragma once
/*
 * ANYWHERE. Where a wait on a condition variable divides: first a thread waits for the signal, then
 * for the mutex, and libc does both in one call that nobody can look into. So each signal leaves a
 * token with its time, and moves one waiter (a broadcast: all) into the mutex's entry of the
 * waiters' table from that time on. A waiter that returns takes the oldest token. Which of several
 * waiters a signal woke stays unknown; every token is taken once, so the sums are exact.
 *
 * A signal without the mutex may come between our note of the waiter and libc's, and be lost on it;
 * then a token says that somebody waits for the mutex who does not. The door of unlock asks the
 * mutex itself before it charges anybody, so that alone such a ghost costs nothing.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/waiters.h"

enum { CONDS_BUCKETS = 256, CONDS_WAYS = 4, CONDS_RUNS = 4 };

struct conds_entry {
    const void *cond;  /* NULL: free */
    const void *mutex; /* the one that all its waiters use */
    uint32_t n;        /* who waits, those with a token included */
    uint32_t tokens;
    struct conds_run {
        uint64_t at;
        uint32_t n;
    } runs[CONDS_RUNS]; /* the tokens, oldest first; signals beyond it leave none */
};

struct conds {
    struct conds_bucket {
        _Alignas(ARENA_LINE) atomic_uint spin;
        atomic_uint n; /* waiters in all entries */
        struct conds_entry at[CONDS_WAYS];
    } buckets[CONDS_BUCKETS];
};

/* The caller, who holds the mutex, is about to wait. False: no room. */
bool conds_enter(struct conds *s, const void *cond, const void *mutex);
/* False: nobody waits for it. One load. */
bool conds_maybe(struct conds *s, const void *cond);
/* A signal is about to be sent: how many wait for the mutex from now on. */
uint32_t conds_signal(struct conds *s, struct waiters *w, const void *cond, uint64_t now, bool all);
/* The caller returns, signaled or not: the time of its token, or 0. */
uint64_t conds_leave(struct conds *s, const void *cond, bool signaled);
