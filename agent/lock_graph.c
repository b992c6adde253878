/* ANYWHERE. */
#include "agent/lock_graph.h"

#include <pthread.h>

#include "agent/agent.h"
#include "agent/lock_slot.h"
#include "common/sys.h"

/* The lock may be gone by the time we look. A join has no word to look at: the thread it waits for
 * stays the same. */
static int32_t owner_now(const struct lock_wait_info *w) {
    size_t at;
    int32_t tid;
    switch (w->kind) {
    case LOCK_MUTEX: at = offsetof(pthread_mutex_t, __data.__owner); break;
    case LOCK_RWLOCK_READ:
    case LOCK_RWLOCK_WRITE: at = offsetof(pthread_rwlock_t, __data.__cur_writer); break;
    default: return w->owner;
    }
    return sys_peek((const char *)w->object + at, &tid, sizeof tid) == sizeof tid ? tid : 0;
}

unsigned lock_edges_read(struct lock_edge *ret_edges, unsigned cap) {
    unsigned n = 0, at = 0, seq;
    for (struct thread *t; n < cap && (t = thread_next(&at));) {
        struct lock_wait_info w;
        if (!lock_slot_get(&t->waits, &w, &seq))
            continue;
        ret_edges[n++] = (struct lock_edge){
            .waiter = atomic_load(&t->tid),
            .owner = owner_now(&w),
            .object = w.object,
            .since_ns = w.since_ns,
            .kind = w.kind,
            .slot = t->index,
            .seq = seq,
        };
    }
    return n;
}

bool lock_edges_hold(const struct lock_edge *edges, const uint16_t *which, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        struct thread *t = thread_at(edges[which[i]].slot);
        if (!t || !lock_slot_unchanged(&t->waits, edges[which[i]].seq))
            return false;
    }
    return true;
}

static unsigned edge_of(const struct lock_edge *edges, unsigned n, int32_t waiter) {
    unsigned i = 0;
    while (i < n && (!waiter || edges[i].waiter != waiter))
        i++;
    return i;
}

/* From each edge on along the owners; `walk` numbers the walk that saw an edge first, so each is
 * walked once. */
unsigned lock_graph_circle(const struct lock_edge *edges, unsigned n, uint16_t *ret_circle) {
    uint16_t walk[LOCK_EDGES_MAX] = {0};
    for (unsigned first = 0; first < n && first < LOCK_EDGES_MAX; first++) {
        unsigned i = first;
        while (i < n && !walk[i]) {
            walk[i] = (uint16_t)(first + 1);
            i = edge_of(edges, n, edges[i].owner);
        }
        if (i == n || walk[i] != first + 1)
            continue;
        unsigned length = 0, start = i;
        do {
            ret_circle[length++] = (uint16_t)i;
            i = edge_of(edges, n, edges[i].owner);
        } while (i != start);
        return length;
    }
    return 0;
}
