#pragma once
/*
 * ANYWHERE. Stacks on behalf of the kinds: of a thread that our signal interrupted, and of the
 * thread that called a door of ours. The walk runs on a stack of the agent's own, because the
 * host's may be the 8 KB of a signal handler. At most 64 threads walk at a time; one more, and
 * every walk while a fork is under way, gets the leaf only (DROP_NO_STACK).
 */
#include <stdbool.h>
#include <ucontext.h>

#include "agent/stack.h"
#include "agent/thread.h"

typedef void capture_fn(void *arg, const uint64_t *pcs, unsigned n);

/* Walks from the interrupted registers and gives the frames to fn, which runs on the agent's stack.
 * The thread is t, and is this one. */
void capture_context(struct thread *t, const ucontext_t *context, capture_fn *fn, void *arg);

/*
 * The stack of the running thread from the host's call of one of our doors upwards; the agent's own
 * frames are left out. NULL when the tables are full. The caller is busy (self_enter).
 * Cost: 0.3 us and 5 to 6.5 ns a frame.
 */
const struct stack *capture_here(void);

/* The stack of another thread that stands still in a door of ours, from the registers it left
 * there. All its memory is read with care: should it go on meanwhile, the stack is wrong and
 * nothing else. The caller is busy. */
const struct stack *capture_other(const ucontext_t *context);

/* Around fork: closed, waits until nobody walks and lets nobody begin; in the child, opens with all
 * stacks free. */
void capture_gate(bool open);
void capture_reset(void);
