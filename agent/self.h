#pragma once
/*
 * HOT. What the agent knows about the running thread: one struct in initial-exec TLS, at most 128
 * bytes, valid when zero (a thread we have not met). It has no destructor and outlives every hook.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/rng.h"

struct thread;

struct self {
    int64_t left_bytes;    /* malloc countdown: below zero is the slow path (hot.h) */
    int64_t held_bytes;    /* left_bytes, put aside while busy */
    uint32_t busy;         /* > 0: inside the agent; malloc then serves from the pool */
    uint32_t pending;      /* PENDING_*: asked for by a signal while busy */
    struct thread *thread; /* its registration, or NULL */
    uint64_t stack_hi;     /* end of its stack, 0 unknown */
    const void *registrar; /* the real __register_frame we are in (preload/frames.c), or NULL */
    struct rng gaps;       /* of the countdown; state 0: not seeded */
    uint16_t rate;         /* the number of the rate its gap was drawn with, 0 none (agent/heap.h) */
    bool recount;          /* the countdown was ended from outside, not by an allocation */
    bool cut;              /* the countdown is a part of its gap only (agent/heap.c) */
    bool blocks_sampling;  /* the host believes that it blocks our sampling signal */
};

enum { PENDING_DUMP = 1 };

_Static_assert(sizeof(struct self) <= 128, "design D1: all TLS is one struct of at most 128 bytes");

extern __thread struct self self __attribute__((tls_model("initial-exec"), visibility("hidden")));

/*
 * Between self_enter() and self_leave() the thread is inside the agent: memory comes from the pool,
 * no sample walks its stack, no dump starts in its signal handler. They nest. A countdown of zero
 * sends every malloc down the slow path meanwhile, so the fast path needs no second test.
 */
static inline void self_enter(void) {
    if (self.busy++ == 0) {
        self.held_bytes = self.left_bytes;
        self.left_bytes = 0;
    }
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* Runs what a signal asked for meanwhile; agent/agent.c. */
void self_run_pending(void);

/* A handler may come between any two lines: the countdown is whole again before busy says so. */
static inline void self_leave(void) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (self.busy > 1) {
        self.busy--;
        return;
    }
    self.left_bytes = self.held_bytes;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    self.busy = 0;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (__builtin_expect(self.pending != 0, 0))
        self_run_pending();
}
