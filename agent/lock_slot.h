#pragma once
/*
 * ANYWHERE. What a thread waits for, for everybody to read: one slot in each struct thread, written
 * by its thread, read by others without disturbing it. `seq` is odd while the slot is being
 * changed; a reader that finds it changed has read nothing.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <ucontext.h>

#include "agent/lock_kinds.h"

/* One blocking call. A signal handler's wait covers the one it interrupted, which lies in `outer`
 * of the handler's frame meanwhile. */
struct lock_wait_info {
    uintptr_t object;          /* what it waits for; 0: it does not wait */
    uint64_t since_ns;         /* monotonic */
    const ucontext_t *context; /* registers of the waiting call, in its own frame: read with care */
    int32_t owner;             /* tid of who held the object when the wait began, 0 unknown */
    uint8_t kind;              /* enum lock_kind */
};

struct lock_slot {
    atomic_uint seq;
    struct lock_wait_info info;
};

/* The owner writes. */
void lock_slot_set(struct lock_slot *s, const struct lock_wait_info *info);
/* Anybody reads: false if nothing is waited for, or the owner was just writing. *ret_seq is for
 * lock_slot_unchanged(). */
bool lock_slot_get(struct lock_slot *s, struct lock_wait_info *ret_info, unsigned *ret_seq);
/* The wait that was read still goes on. */
bool lock_slot_unchanged(struct lock_slot *s, unsigned seq);
