/*
 * ANYWHERE. Why a count for the whole process in front of the table: an unlock must cost one load
 * while nobody waits. The order of things makes it safe to look at without a lock: a waiter counts
 * itself before it blocks, and a holder that did not see it yet lets go of the lock at once. What
 * is missed then is the time between the two, which ends up as wake-up latency.
 */
#include "agent/lock.h"

#include <errno.h>
#include <string.h>
#include <sys/single_threaded.h>

#include "agent/agent.h"
#include "agent/kind_lock.h"
#include "common/clock.h"

static const char never_alone_again = 1;

struct hot_lock hot_lock = {.alone = &never_alone_again};
struct locks locks;

#define LOCK_KIND(name, word, family) [LOCK_##name] = word,
const char *const lock_kind_words[LOCK_KIND_COUNT] = {LOCK_KINDS(LOCK_KIND)};
#undef LOCK_KIND
#define LOCK_KIND(name, word, family) [LOCK_##name] = FAMILY_##family,
const enum lock_family lock_families[LOCK_KIND_COUNT] = {LOCK_KINDS(LOCK_KIND)};
#undef LOCK_KIND
const char *const lock_state_words[LOCK_STATE_COUNT] = {"done", "timeout", "waiting"};

static void add(atomic_uint_fast64_t *to, uint64_t n) {
    atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

static struct waiters *table_get(void) {
    struct waiters *w = atomic_load_explicit(&locks.waiters, memory_order_acquire);
    if (w)
        return w;
    struct waiters *fresh = arena_alloc(&agent.arena, sizeof *fresh);
    if (!fresh || atomic_compare_exchange_strong(&locks.waiters, &w, fresh))
        return fresh;
    return w;
}

/* Only what somebody lets go of through a door of ours has a holder to charge. */
static bool has_holder(enum lock_kind kind) { return lock_families[kind] < FAMILY_COND; }

static bool table_enter(const void *object, uint64_t now, uint64_t *ret_from) {
    struct waiters *t = table_get();
    return t && waiters_enter(t, object, now, ret_from);
}

static void slot_show(struct lock_wait *w) {
    w->thread = self.thread;
    if (!w->thread)
        return;
    w->outer = w->thread->waits.info;
    lock_slot_set(&w->thread->waits, &w->info);
}

void lock_wait_enter(struct lock_wait *w, enum lock_kind kind, const void *object, int32_t owner) {
    self_enter();
    uint64_t now = clock_ns();
    w->epoch = atomic_load_explicit(&locks.epoch, memory_order_relaxed);
    w->from_ns = now;
    atomic_fetch_add(&hot_lock.waiting[lock_families[kind]], 1);
    w->tabled = has_holder(kind) && atomic_load_explicit(&locks.mutex_on, memory_order_relaxed) &&
                table_enter(object, now, &w->from_ns);
    w->info = (struct lock_wait_info){
        .object = (uintptr_t)object,
        .since_ns = w->from_ns,
        .context = &w->context,
        .owner = owner,
        .kind = (uint8_t)kind,
    };
    slot_show(w);
    self_leave();
}

static void account(enum lock_kind kind, int how, uint64_t waited, uint64_t rest) {
    struct lock_totals *t = &locks.totals[kind];
    add(&t->waits, 1);
    add(&t->waited_ns, waited);
    add(how == LOCK_DONE ? &t->wakeup_ns : &t->abandoned_ns, rest);
}

static void leave(struct lock_wait *w, int how, uint64_t now) {
    enum lock_kind kind = (enum lock_kind)w->info.kind;
    const void *object = (const void *)w->info.object;
    uint64_t waited = now > w->from_ns ? now - w->from_ns : 0, rest = waited;
    if (w->tabled)
        rest = waiters_leave(atomic_load(&locks.waiters), object, w->from_ns, now, false);
    atomic_fetch_sub(&hot_lock.waiting[lock_families[kind]], 1);
    if (w->thread && w->thread == self.thread)
        lock_slot_set(&w->thread->waits, &w->outer);
    if (how == LOCK_NOT_WAITED)
        return;
    account(kind, w->tabled ? how : LOCK_TIMEOUT, waited, rest);
    kind_lock_waited(kind, object, (enum lock_state)how, waited);
}

void lock_wait_end(struct lock_wait *w, int how) {
    uint64_t now = clock_ns();
    self_enter();
    if (w->epoch == atomic_load_explicit(&locks.epoch, memory_order_relaxed))
        leave(w, how, now);
    self_leave();
}

int lock_how(int err) {
    switch (err) {
    case 0:
    case EOWNERDEAD:
    case ENOTRECOVERABLE: return LOCK_DONE;
    case ETIMEDOUT: return LOCK_TIMEOUT;
    default: return LOCK_NOT_WAITED;
    }
}

bool lock_release(struct lock_charge *c, enum lock_kind kind, const void *object, bool idle) {
    struct waiters *w = atomic_load_explicit(&locks.waiters, memory_order_acquire);
    if (!w || self.busy || !waiters_maybe(w, object))
        return false;
    self_enter();
    uint64_t skipped, charged = waiters_release(w, object, clock_ns(), idle, &skipped);
    *c = (struct lock_charge){kind, object, {0}};
    add(&locks.totals[kind].wakeup_ns, skipped);
    if (charged) {
        add(&locks.totals[kind].releases, 1);
        add(&locks.totals[kind].charged_ns, charged);
    }
    bool due = charged && kind_lock_due(&c->hit, charged);
    self_leave();
    return due;
}

void lock_charge(const struct lock_charge *c) {
    self_enter();
    kind_lock_held(c->kind, c->object, &c->hit);
    self_leave();
}

void lock_start(void) {
    clock_load();
    __atomic_store_n(&hot_lock.alone, &__libc_single_threaded, __ATOMIC_RELAXED);
}

/* Waits under way end as they would have: their counts go down again. */
void lock_stop(void) {
    if (!lock_on())
        __atomic_store_n(&hot_lock.alone, &never_alone_again, __ATOMIC_RELAXED);
}

void lock_reset(void) {
    atomic_fetch_add(&locks.epoch, 1);
    atomic_store(&locks.waiters, NULL);
    memset(hot_lock.waiting, 0, sizeof hot_lock.waiting);
    memset(locks.totals, 0, sizeof locks.totals);
}
