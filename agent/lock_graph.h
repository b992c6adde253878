#pragma once
/*
 * ANYWHERE. Who waits for whom, now: each thread waits for one thing at most, so the graph is a set
 * of chains, and a chain that bites its tail is a deadlock.
 */
#include <stdbool.h>
#include <stdint.h>

struct lock_edge {
    int32_t waiter, owner; /* tids; owner 0: not known (semaphores, readers) */
    uintptr_t object;
    uint64_t since_ns;
    uint8_t kind;  /* enum lock_kind */
    uint32_t slot; /* for lock_edges_hold() */
    unsigned seq;
};

enum { LOCK_EDGES_MAX = 1024 };

/* The waits of all registered threads, at most cap: how many. Owners are read from the locks
 * themselves, as they are now. */
unsigned lock_edges_read(struct lock_edge *ret_edges, unsigned cap);
/* All of these waits still go on: they were all true at one moment. */
bool lock_edges_hold(const struct lock_edge *edges, const uint16_t *which, unsigned n);
/* The edges of a circle, in order: how many, 0 if there is none. ret_circle has room for n. A
 * thread that waits for itself is a circle of one. */
unsigned lock_graph_circle(const struct lock_edge *edges, unsigned n, uint16_t *ret_circle);
