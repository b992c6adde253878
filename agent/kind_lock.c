/*
 * ANYWHERE, except start, stop and reset. Two profiles of one thing: time that threads spent
 * waiting for each other. mutex shows it where the lock was held, block where it was waited for.
 *
 * Rows grow only and files hold the whole life of the process, as Go's do. What is in progress when
 * a file is written is in no row: the block profile adds it, with the stack read from outside, as
 * `waiting`.
 */
#include "agent/kind_lock.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/capture.h"
#include "agent/freeze.h"
#include "agent/kind.h"
#include "agent/lock.h"
#include "agent/lock_graph.h"
#include "agent/lock_name.h"
#include "agent/lock_tag.h"
#include "agent/lock_total.h"
#include "common/clock.h"

enum { VALUE_COUNT, VALUE_DELAY, LABELS = 3 };

struct profile {
    struct table table;
    atomic_uint_fast64_t samples;
    uint64_t written; /* samples at the last file */
};

static struct {
    struct profile held, waited;
    struct chains tags;
    atomic_uint stray_lock; /* of these, for threads without a slot of their own */
    struct grid stray_held, stray_waited;
} rows;

/* A thread that we have not met shares a line with all such; one that finds it in use passes. */
static bool step(struct grid *own, struct grid *stray, struct grid_pace *pace, uint64_t ns,
                 struct grid_hit *ret_hit) {
    if (own)
        return grid_step(own, grid_pace_period(pace), ns, ret_hit);
    if (atomic_exchange_explicit(&rows.stray_lock, 1, memory_order_acquire))
        return false;
    bool hit = grid_step(stray, grid_pace_period(pace), ns, ret_hit);
    atomic_store_explicit(&rows.stray_lock, 0, memory_order_release);
    return hit;
}

/* A thread that is joined is no lock, and comes but once. */
static const struct lock_tag *tag_of(uintptr_t object, enum lock_kind kind, enum lock_state how) {
    return lock_tag_intern(&rows.tags, &agent.arena, kind == LOCK_JOIN ? 0 : object, kind, how);
}

static struct row *sample(struct profile *p, struct grid_pace *pace, enum lock_kind kind,
                          const void *object, enum lock_state how, const struct grid_hit *hit) {
    if (!agent_on() || agent_is_foreign())
        return NULL;
    const struct who *who = self.thread ? thread_who(self.thread) : NULL;
    const struct lock_tag *tag = tag_of((uintptr_t)object, kind, how);
    struct row *r = tag ? table_row(&p->table, &agent.arena, capture_here(), who, (uintptr_t)tag)
                        : &p->table.other;
    if (r == &p->table.other)
        agent_drop(DROP_TABLE_FULL);
    row_add(r, VALUE_COUNT, (int64_t)hit->count);
    row_add(r, VALUE_DELAY, (int64_t)hit->delay_ns);
    atomic_fetch_add_explicit(&p->samples, 1, memory_order_relaxed);
    grid_pace_count(pace, clock_ns());
    return r;
}

void kind_lock_waited(enum lock_kind kind, const void *object, enum lock_state how, uint64_t ns) {
    struct grid_hit hit;
    struct grid *own = self.thread ? &self.thread->waited : NULL;
    if (atomic_load_explicit(&locks.block_on, memory_order_relaxed) &&
        step(own, &rows.stray_waited, &locks.block_pace, ns, &hit))
        sample(&rows.waited, &locks.block_pace, kind, object, how, &hit);
}

bool kind_lock_due(struct grid_hit *ret_hit, uint64_t ns) {
    struct grid *own = self.thread ? &self.thread->held : NULL;
    return atomic_load_explicit(&locks.mutex_on, memory_order_relaxed) &&
           step(own, &rows.stray_held, &locks.mutex_pace, ns, ret_hit);
}

struct row *kind_lock_held(enum lock_kind kind, const void *object, const struct grid_hit *hit) {
    return sample(&rows.held, &locks.mutex_pace, kind, object, LOCK_DONE, hit);
}

void kind_lock_held_also(struct row *r, uint64_t delay_ns) {
    row_add(r, VALUE_DELAY, (int64_t)delay_ns);
    atomic_fetch_add_explicit(&rows.held.samples, 1, memory_order_relaxed);
}

/* Files. */

static void freeze_tagged(struct freeze *f, const struct row *r, const struct lock_tag *tag,
                          const int64_t *values) {
    char name[LOCK_NAME_MAX] = "";
    struct text t = TEXT_ON(name);
    lock_name(&t, &rows.tags, tag);
    const struct snapshot_label labels[LABELS] = {
        {.key = "kind", .str = lock_kind_words[tag->kind]},
        {.key = "state", .str = lock_state_words[tag->state]},
        {.key = "lock", .str = name},
    };
    freeze_row_labelled(f, r, values, labels, tag->kind == LOCK_JOIN ? LABELS - 1 : LABELS);
}

static void freeze_one(struct row *r, void *arg) {
    const struct lock_tag *tag = (const struct lock_tag *)(uintptr_t)r->tag;
    int64_t count = atomic_load_explicit(&r->sums[VALUE_COUNT], memory_order_relaxed);
    const int64_t values[] = {
        [VALUE_COUNT] = (count + GRID_ONE / 2) / GRID_ONE,
        [VALUE_DELAY] = atomic_load_explicit(&r->sums[VALUE_DELAY], memory_order_relaxed),
    };
    if (tag)
        freeze_tagged(arg, r, tag, values);
    else
        freeze_row(arg, r, values);
}

/* Of what has a holder: the sums that must agree. */
static void comment_totals(struct freeze *f) {
    snapshot_comment_count(&f->snapshot, "lock_waited_ns", lock_total_sum(TOTAL_WAITED));
    snapshot_comment_count(&f->snapshot, "lock_charged_ns", lock_total_sum(TOTAL_CHARGED));
    snapshot_comment_count(&f->snapshot, "lock_wakeup_ns", lock_total_sum(TOTAL_WAKEUP));
    snapshot_comment_count(&f->snapshot, "lock_abandoned_ns", lock_total_sum(TOTAL_ABANDONED));
}

static void freeze_profile(struct freeze *f, struct profile *p, struct grid_pace *pace) {
    p->written = atomic_load(&p->samples);
    table_each(&p->table, freeze_one, f);
    comment_totals(f);
    snapshot_comment_count(&f->snapshot, "sample_period_ns", grid_pace_period(pace));
}

static void snapshot_mutex(struct freeze *f) { freeze_profile(f, &rows.held, &locks.mutex_pace); }

/* Shorter waits are left to the sample that they may become: a wait shall not count more now than
 * it will when it has ended. */
static bool is_old(const struct lock_wait_info *w, uint64_t now) {
    return now >= w->since_ns && now - w->since_ns >= locks.block_pace.asked_ns;
}

static void freeze_waiting(struct freeze *f, struct thread *t, uint64_t now) {
    struct lock_wait_info w;
    unsigned seq;
    ucontext_t context;
    if (!lock_slot_get(&t->waits, &w, &seq) || !is_old(&w, now) ||
        sys_peek(w.context, &context, sizeof context) != sizeof context)
        return;
    const struct stack *stack = capture_other(&context);
    if (!lock_slot_unchanged(&t->waits, seq))
        return;
    const struct row row = {.stack = stack, .who = thread_who_named(t)};
    const struct lock_tag *tag = tag_of(w.object, (enum lock_kind)w.kind, LOCK_WAITING);
    const int64_t values[] = {[VALUE_COUNT] = 1, [VALUE_DELAY] = (int64_t)(now - w.since_ns)};
    if (tag)
        freeze_tagged(f, &row, tag, values);
    else
        freeze_row(f, &row, values);
}

static void say_deadlock(struct freeze *f, const struct lock_edge *edges, const uint16_t *circle,
                         unsigned n) {
    char buf[200];
    struct text t = TEXT_ON(buf);
    text_str(&t, "deadlock: ");
    for (unsigned i = 0; i < n && t.len < sizeof buf - 60; i++) {
        text_str(&t, "thread ");
        text_u64(&t, (uint64_t)edges[circle[i]].waiter);
        text_str(&t, " waits for ");
    }
    text_str(&t, "thread ");
    text_u64(&t, (uint64_t)edges[circle[n - 1]].owner);
    snapshot_comment(&f->snapshot, buf);
}

/* What was read thread by thread was true as a whole if no wait ended meanwhile. */
static void comment_deadlock(struct freeze *f) {
    struct lock_edge edges[LOCK_EDGES_MAX];
    uint16_t circle[LOCK_EDGES_MAX];
    unsigned n = lock_edges_read(edges, LOCK_EDGES_MAX);
    unsigned length = lock_graph_circle(edges, n, circle);
    if (length && lock_edges_hold(edges, circle, length))
        say_deadlock(f, edges, circle, length);
}

static void snapshot_block(struct freeze *f) {
    uint64_t now = clock_ns();
    unsigned at = 0;
    freeze_profile(f, &rows.waited, &locks.block_pace);
    for (struct thread *t; (t = thread_next(&at));)
        freeze_waiting(f, t, now);
    comment_deadlock(f);
}

static bool has_mutex(void) { return atomic_load(&rows.held.samples) > rows.held.written; }

static bool somebody_waits(uint64_t now) {
    struct lock_wait_info w;
    unsigned seq, at = 0;
    for (struct thread *t; (t = thread_next(&at));)
        if (lock_slot_get(&t->waits, &w, &seq) && is_old(&w, now))
            return true;
    return false;
}

static bool has_block(void) {
    return atomic_load(&rows.waited.samples) > rows.waited.written || somebody_waits(clock_ns());
}

/* Life. */

static int start_mutex(uint64_t period_ns) {
    grid_pace_init(&locks.mutex_pace, period_ns, clock_ns());
    rows.stray_held.rng.state = clock_ns();
    atomic_store(&locks.mutex_on, true);
    lock_start();
    return 0;
}

static int start_block(uint64_t period_ns) {
    grid_pace_init(&locks.block_pace, period_ns, clock_ns());
    rows.stray_waited.rng.state = ~clock_ns();
    atomic_store(&locks.block_on, true);
    lock_start();
    return 0;
}

static void stop_mutex(void) {
    atomic_store(&locks.mutex_on, false);
    lock_stop();
}

static void stop_block(void) {
    atomic_store(&locks.block_on, false);
    lock_stop();
}

/* Either kind resets all: what they share was wiped with the arena. */
static void reset(void) {
    memset(&rows.held, 0, sizeof rows.held);
    memset(&rows.waited, 0, sizeof rows.waited);
    memset(&rows.tags, 0, sizeof rows.tags);
    atomic_store(&rows.stray_lock, 0);
    grid_pace_init(&locks.mutex_pace, locks.mutex_pace.asked_ns, clock_ns());
    grid_pace_init(&locks.block_pace, locks.block_pace.asked_ns, clock_ns());
    lock_reset();
}

const struct kind kind_mutex = {
    .start = start_mutex,
    .stop = stop_mutex,
    .snapshot = snapshot_mutex,
    .reset = reset,
    .has_samples = has_mutex,
};

const struct kind kind_block = {
    .start = start_block,
    .stop = stop_block,
    .snapshot = snapshot_block,
    .reset = reset,
    .has_samples = has_block,
};
