#include "agent/thread.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/proc.h"
#include "agent/self.h"
#include "common/sys.h"

static void lock(struct threads *s) {
    while (atomic_exchange_explicit(&s->lock, 1, memory_order_acquire))
        sys_yield();
}

static void unlock(struct threads *s) { atomic_store_explicit(&s->lock, 0, memory_order_release); }

/* Under the lock: a slot nobody uses. */
static struct thread *slot_take(struct threads *s) {
    struct thread *t = s->free;
    if (t) {
        s->free = t->next_free;
        return t;
    }
    unsigned n = atomic_load_explicit(&s->n, memory_order_relaxed);
    unsigned chunk = n / THREADS_PER_CHUNK;
    if (chunk >= THREADS_CHUNKS)
        return NULL;
    struct thread *c = atomic_load_explicit(&s->chunks[chunk], memory_order_relaxed);
    if (!c) {
        c = arena_alloc_lines(&agent.arena, THREADS_PER_CHUNK * sizeof *c);
        if (!c)
            return NULL;
        atomic_store_explicit(&s->chunks[chunk], c, memory_order_release);
    }
    t = &c[n % THREADS_PER_CHUNK];
    t->index = n;
    atomic_store_explicit(&s->n, n + 1, memory_order_release);
    return t;
}

static void slot_stack(struct thread *t, uint64_t hi) {
    t->stack_hi = hi;
    atomic_store(&t->stack_lo, hi);
}

/* Of a thread that was here before and ended in the middle of a wait. */
static void slot_locks(struct thread *t) {
    const struct lock_wait_info none = {0};
    lock_slot_set(&t->waits, &none);
    parked_forget(t);
    t->held = (struct grid){.rng = {rng_next(&t->rng)}};
    t->waited = (struct grid){.rng = {rng_next(&t->rng)}};
}

static void slot_fill(struct thread *t, pid_t tid, bool adopted, uint64_t start) {
    slot_stack(t, adopted ? 0 : self.stack_hi);
    t->adopted = adopted;
    t->self = adopted ? NULL : &self;
    t->handle = 0;
    t->start = start;
    t->rng.state = sys_clock_ns(CLOCK_MONOTONIC) ^ ((uint64_t)tid << 32);
    slot_locks(t);
    atomic_store(&t->timer, -1);
    atomic_store(&t->who, NULL);
    atomic_store(&t->untold, false);
    atomic_store(&t->last, NULL);
    atomic_store(&t->charged_ns, 0);
    atomic_store_explicit(&t->tid, tid, memory_order_release);
    atomic_fetch_add(adopted ? &agent.threads.adopted : &agent.threads.live, 1);
}

/* The agent's thread scanned /proc between this thread's birth and its first words. Or the tid is
 * that of an adopted thread that ended unnoticed: then the clock began anew. */
static void slot_upgrade(struct thread *t, uint64_t start) {
    if (atomic_load(&t->charged_ns) > sys_clock_ns(CLOCK_THREAD_CPUTIME_ID)) {
        atomic_store(&t->charged_ns, 0);
        atomic_store(&t->who, NULL);
        atomic_store(&t->last, NULL);
    }
    slot_stack(t, self.stack_hi);
    t->adopted = false;
    t->self = &self;
    t->start = start;
    atomic_fetch_sub(&agent.threads.adopted, 1);
    atomic_fetch_add(&agent.threads.live, 1);
}

struct thread *thread_add(pid_t tid, bool adopted, uint64_t start) {
    struct threads *s = &agent.threads;
    lock(s);
    struct thread *known = adopted || atomic_load(&s->adopted) ? thread_find(tid) : NULL;
    struct thread *t = known ? known : slot_take(s);
    if (known && !adopted)
        slot_upgrade(t, start);
    else if (t && !known)
        slot_fill(t, tid, adopted, start);
    unlock(s);
    if (!t)
        agent_drop(DROP_THREAD);
    return known && adopted ? NULL : t;
}

enum { PAGE = 4096, PAGES_AT_ONCE = 64, FAR = 8 << 20 };

static bool page_readable(uint64_t page) {
    uint64_t word;
    return sys_peek((const void *)page, &word, sizeof word) == sizeof word;
}

uint64_t thread_stack_end(uint64_t inside) {
    uint64_t page = inside & ~(uint64_t)(PAGE - 1);
    if (!inside || !page_readable(page))
        return 0;
    return page + PAGE + (page_readable(page + PAGE) ? PAGE : 0);
}

/* Pages between a running thread's stack pointer and its stack's end do not go away while it runs.
 * A guard page below keeps the range from growing into what is no stack; and of what is known only
 * sp and up is given out. Far below lie coroutines and alternate stacks: asking for every page
 * between would make the kernel grow the stack. */
uint64_t thread_stack_reach(struct thread *t, uint64_t sp) {
    uint64_t lo = atomic_load_explicit(&t->stack_lo, memory_order_relaxed);
    if (sp + 8 > t->stack_hi || (sp < lo && lo - sp > FAR))
        return 0;
    for (unsigned i = 0; lo > sp && i < PAGES_AT_ONCE && page_readable(lo - PAGE); i++)
        lo -= PAGE;
    atomic_store_explicit(&t->stack_lo, lo, memory_order_relaxed);
    return lo <= sp ? t->stack_hi - sp - 7 : 0; /* a word's last place */
}

void thread_remove(struct thread *t) {
    struct threads *s = &agent.threads;
    lock(s);
    atomic_fetch_sub(t->adopted ? &s->adopted : &s->live, 1);
    atomic_store_explicit(&t->tid, 0, memory_order_release);
    t->self = NULL;
    t->next_free = s->free;
    s->free = t;
    unlock(s);
}

struct thread *thread_at(unsigned index) {
    if (index >= THREADS_CHUNKS * THREADS_PER_CHUNK)
        return NULL;
    struct thread *c = atomic_load_explicit(&agent.threads.chunks[index / THREADS_PER_CHUNK],
                                            memory_order_acquire);
    return c ? &c[index % THREADS_PER_CHUNK] : NULL;
}

struct thread *thread_next(unsigned *inout_at) {
    while (*inout_at < thread_slots(&agent.threads)) {
        struct thread *t = thread_at((*inout_at)++);
        if (t && atomic_load_explicit(&t->tid, memory_order_acquire))
            return t;
    }
    return NULL;
}

struct thread *thread_find(pid_t tid) {
    unsigned at = 0;
    for (struct thread *t; (t = thread_next(&at));)
        if (atomic_load_explicit(&t->tid, memory_order_acquire) == tid)
            return t;
    return NULL;
}

pid_t thread_tid_of(uint64_t handle) {
    unsigned n = thread_slots(&agent.threads);
    for (unsigned i = 0; i < n; i++) {
        struct thread *t = thread_at(i);
        pid_t tid = t ? atomic_load_explicit(&t->tid, memory_order_acquire) : 0;
        if (tid && __atomic_load_n(&t->handle, __ATOMIC_RELAXED) == handle)
            return tid;
    }
    return 0;
}

void *thread_cookie(const struct thread *t) {
    return (void *)((uintptr_t)agent.threads.cookie << 32 | t->index);
}

struct thread *thread_of_cookie(void *value) {
    uintptr_t v = (uintptr_t)value;
    return v >> 32 == agent.threads.cookie ? thread_at((unsigned)v) : NULL;
}

/* A server with a thread for each request would fill the tables with rows of threads that are gone:
 * the second half of the memory is for stacks alone. Counted once a thread. */
static bool tells_apart(struct thread *t) {
    struct arena *a = &agent.arena;
    if (!a->limit || arena_mapped(a) <= a->limit / 2)
        return true;
    if (!atomic_exchange(&t->untold, true))
        agent_drop(DROP_WHO);
    return false;
}

const struct who *thread_who(struct thread *t) {
    const struct who *w = atomic_load_explicit(&t->who, memory_order_acquire);
    if (w || !tells_apart(t))
        return w;
    struct who *fresh = arena_alloc(&agent.arena, sizeof *fresh);
    if (!fresh)
        return NULL;
    fresh->tid = atomic_load_explicit(&t->tid, memory_order_relaxed);
    if (atomic_compare_exchange_strong(&t->who, &w, fresh))
        return fresh;
    return w;
}

static void read_name(struct thread *t) {
    struct who *w = (struct who *)atomic_load(&t->who);
    pid_t tid = atomic_load(&t->tid);
    if (w && tid == w->tid)
        proc_thread_name(tid, w->name);
}

const struct who *thread_who_named(struct thread *t) {
    if (!atomic_load(&t->who) && thread_who(t))
        read_name(t);
    return atomic_load(&t->who);
}

void threads_read_names(void) {
    unsigned at = 0;
    for (struct thread *t; (t = thread_next(&at));)
        read_name(t);
}

struct scan {
    void (*found)(struct thread *);
};

static void scan_one(pid_t tid, void *arg) {
    struct scan *s = arg;
    /* A /proc of another PID namespace names nobody here. */
    if (tid == agent.worker.tid || !proc_thread_exists(tid))
        return;
    struct thread *t = thread_add(tid, true, 0);
    if (t)
        s->found(t);
}

void threads_scan(void (*fn)(struct thread *)) {
    struct scan s = {fn};
    proc_each_thread(scan_one, &s);
}

/* Main stays in /proc until all have ended. */
static bool has_ended(pid_t tid) {
    return tid == agent.pid ? proc_thread_is_zombie(tid) : !proc_thread_exists(tid);
}

void threads_notice_ends(void (*gone)(struct thread *)) {
    unsigned at = 0;
    for (struct thread *t; (t = thread_next(&at));) {
        pid_t tid = atomic_load(&t->tid);
        /* Who ends in the ordinary way gives the slot back before the tid goes. */
        if (tid && has_ended(tid) && atomic_load(&t->tid) == tid) {
            gone(t);
            thread_remove(t);
        }
    }
}

void threads_unwatch(void) {
    struct threads *s = &agent.threads;
    unsigned at = 0;
    lock(s);
    for (struct thread *t; (t = thread_next(&at));) {
        if (t->adopted || atomic_load(&t->tid) == agent.pid)
            continue;
        t->adopted = true;
        t->self = NULL;
        atomic_fetch_sub(&s->live, 1);
        atomic_fetch_add(&s->adopted, 1);
    }
    unlock(s);
}

static void recount(struct self *other) {
    __atomic_store_n(&other->recount, true, __ATOMIC_RELAXED);
    __atomic_store_n(&other->held_bytes, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&other->left_bytes, 0, __ATOMIC_RELAXED);
}

/* A thread that is counting down in this very moment overwrites the zero; a second round after a
 * pause finds nearly all of those, and the others ask anew when their countdown ends. */
void threads_recount(void) {
    struct threads *s = &agent.threads;
    for (unsigned round = 0; round < 2; round++) {
        lock(s);
        for (unsigned i = 0; i < thread_slots(s); i++) {
            struct thread *t = thread_at(i);
            if (t && t->self && (round == 0 || t->self->recount))
                recount(t->self);
        }
        unlock(s);
        sys_yield();
    }
}

/* Entry by entry: clearing the whole directory would cost every fork 32 page faults. */
void threads_reset(void) {
    struct threads *s = &agent.threads;
    for (unsigned i = 0; i * THREADS_PER_CHUNK < atomic_load(&s->n); i++)
        atomic_store(&s->chunks[i], NULL);
    atomic_store(&s->lock, 0);
    atomic_store(&s->n, 0);
    s->free = NULL;
    atomic_store(&s->live, 0);
    atomic_store(&s->adopted, 0);
    atomic_store(&s->timers, 0);
}
