#pragma once
/*
 * ANYWHERE. What a wake of a thread's own futex word costs others (parked.h): charged along the
 * chain of wakes (blame.h), to stacks that were taken when their threads were woken. For lock.c;
 * the caller is busy.
 */
#include <stdbool.h>
#include <stdint.h>

struct lock_wait;

/* Around a wait of kind futex; `how` as in lock_wait_end(). */
void lock_wake_sleep(const struct lock_wait *w);
void lock_wake_up(const struct lock_wait *w, int how, uint64_t now);
/* The running thread is about to wake who waits for the word, which others paid `ns` for by now.
 * False: the word is no thread's own, nothing was done. */
bool lock_wake_charge(const void *word, uint64_t now, uint64_t ns);
/* In a fork child. */
void lock_wake_reset(void);
