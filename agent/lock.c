/*
 * ANYWHERE. Why a flag for the whole process in front of the table: an unlock must cost one load
 * while nobody waits, ever. Behind it a mutex's own word, or the number of waiters in a bucket of
 * the table, says whether somebody waits now. The order of things makes these safe to look at
 * without a lock: a waiter is noted before it blocks, and a holder that did not see it yet lets go
 * of the lock at once. What is missed then is the time between the two, which ends up as wake-up
 * latency.
 */
#include "agent/lock.h"

#include <errno.h>
#include <string.h>
#include <sys/single_threaded.h>

#include "agent/agent.h"
#include "agent/kind_lock.h"
#include "agent/lock_total.h"
#include "agent/lock_wake.h"
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

static struct waiters *waiters_get(void) {
    return ARENA_LINES_ONCE(&agent.arena, &locks.waiters, 1);
}

static struct conds *conds_get(void) { return ARENA_LINES_ONCE(&agent.arena, &locks.conds, 1); }

/* Only what somebody lets go of through a door of ours has a holder to charge. */
static bool has_holder(enum lock_kind kind) { return lock_families[kind] < FAMILY_COND; }

static bool table_enter(struct lock_wait *w, enum lock_kind kind, const void *object) {
    struct waiters *table = waiters_get();
    if (!table)
        return false;
    if (has_holder(kind))
        return waiters_enter(table, object, w->from_ns, &w->from_ns);
    struct conds *conds = kind == LOCK_COND ? conds_get() : NULL;
    return conds && conds_enter(conds, object, w->mutex);
}

/* A wait that is still shown although its frame is gone was left by longjmp or an exception. */
static void slot_show(struct lock_wait *w) {
    w->thread = self.thread;
    if (!w->thread)
        return;
    w->outer = w->thread->waits.info;
    if (w->outer.context < &w->context)
        w->outer = (struct lock_wait_info){0};
    lock_slot_set(&w->thread->waits, &w->info);
}

static void flag(enum lock_family f) {
    if (!atomic_load_explicit(&hot_lock.waited[f], memory_order_relaxed))
        atomic_store(&hot_lock.waited[f], true);
}

static void enter(struct lock_wait *w, enum lock_kind kind, const void *object, int32_t owner) {
    w->epoch = atomic_load_explicit(&locks.epoch, memory_order_relaxed);
    w->from_ns = clock_ns();
    flag(lock_families[kind]);
    w->tabled = table_enter(w, kind, object);
    w->info = (struct lock_wait_info){
        .object = (uintptr_t)object,
        .since_ns = w->from_ns,
        .context = &w->context,
        .owner = owner,
        .kind = (uint8_t)kind,
    };
    slot_show(w);
    lock_wake_sleep(w);
}

void lock_wait_enter(struct lock_wait *w, enum lock_kind kind, const void *object, int32_t owner) {
    self_enter();
    enter(w, kind, object, owner);
    self_leave();
}

void lock_cond_enter(struct lock_wait *w, const void *cond, const void *mutex, bool sleepers) {
    struct lock_charge c;
    if (sleepers && hot_lock_waited_for(FAMILY_MUTEX) && lock_release(&c, LOCK_MUTEX, mutex))
        lock_charge(&c);
    w->mutex = mutex;
    lock_wait_enter(w, LOCK_COND, cond, 0);
}

static uint64_t between(uint64_t from, uint64_t to) { return to > from ? to - from : 0; }

/* rest: what nobody was charged for, of this wait or of others. */
static void account(enum lock_kind kind, int how, uint64_t waited, uint64_t rest) {
    if (!has_holder(kind))
        return;
    lock_total_add(TOTAL_WAITED, waited);
    lock_total_add(how == LOCK_DONE ? TOTAL_WAKEUP : TOTAL_ABANDONED, rest);
}

static void end_plain(struct lock_wait *w, enum lock_kind kind, int how, uint64_t now) {
    const void *object = (const void *)w->info.object;
    uint64_t rest = between(w->from_ns, now), others = 0;
    if (w->tabled)
        rest = waiters_leave(atomic_load(&locks.waiters), object, w->from_ns, &now,
                             how == LOCK_DONE, &others);
    uint64_t waited = between(w->from_ns, now);
    if (how == LOCK_NOT_WAITED && rest == waited)
        return;
    /* A futex word that had changed: who changed it was charged for the moment before. */
    if (how == LOCK_NOT_WAITED)
        how = LOCK_DONE;
    account(kind, w->tabled ? how : LOCK_TIMEOUT, waited, rest + others);
    kind_lock_waited(kind, object, (enum lock_state)how, waited);
}

/* The part behind the signal belongs to the mutex if somebody let go of that meanwhile; else the
 * thread was merely on its way. */
static void end_cond(struct lock_wait *w, int how, uint64_t now) {
    const void *cond = (const void *)w->info.object;
    uint64_t at = w->tabled ? conds_leave(atomic_load(&locks.conds), cond, how == LOCK_DONE) : 0;
    uint64_t behind = 0;
    if (at) {
        uint64_t others = 0;
        uint64_t rest =
            waiters_leave(atomic_load(&locks.waiters), w->mutex, at, &now, true, &others);
        lock_total_add(TOTAL_WAKEUP, others);
        behind = between(at, now) > rest ? between(at, now) : 0;
        if (behind) {
            account(LOCK_MUTEX, LOCK_DONE, behind, rest);
            kind_lock_waited(LOCK_MUTEX, w->mutex, LOCK_DONE, behind);
        }
    }
    if (how == LOCK_NOT_WAITED)
        return;
    uint64_t waited = between(w->from_ns, behind ? at : now);
    account(LOCK_COND, how, waited, waited);
    kind_lock_waited(LOCK_COND, cond, (enum lock_state)how, waited);
}

static void leave(struct lock_wait *w, int how, uint64_t now) {
    enum lock_kind kind = (enum lock_kind)w->info.kind;
    if (w->thread && w->thread == self.thread)
        lock_slot_set(&w->thread->waits, &w->outer);
    lock_wake_up(w, how, now);
    if (kind == LOCK_COND)
        end_cond(w, how, now);
    else
        end_plain(w, kind, how, now);
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

bool lock_is_waited_for(const void *object) {
    struct waiters *w = atomic_load_explicit(&locks.waiters, memory_order_acquire);
    return w && waiters_maybe(w, object);
}

/* A mutex has said itself that it is waited for. To read the bucket first and to write it then
 * would bring its cache line twice, while the others wait. */
static bool waited_for(struct waiters *w, enum lock_kind kind, const void *object) {
    return w && (kind == LOCK_MUTEX || waiters_maybe(w, object));
}

bool lock_release(struct lock_charge *c, enum lock_kind kind, const void *object) {
    struct waiters *w = atomic_load_explicit(&locks.waiters, memory_order_acquire);
    if (self.busy || !waited_for(w, kind, object))
        return false;
    waiters_fetch(w, object);
    self_enter();
    uint64_t now = clock_ns(), charged = waiters_release(w, object, now);
    *c = (struct lock_charge){kind, object, {0}};
    if (charged && kind == LOCK_FUTEX && lock_wake_charge(object, now, charged))
        charged = 0;
    if (charged)
        lock_total_add(TOTAL_CHARGED, charged);
    bool due = charged && kind_lock_due(&c->hit, charged);
    self_leave();
    return due;
}

void lock_signal(const void *cond, bool all) {
    struct conds *s = atomic_load_explicit(&locks.conds, memory_order_acquire);
    if (!s || self.busy || !conds_maybe(s, cond))
        return;
    self_enter();
    if (conds_signal(s, atomic_load(&locks.waiters), cond, clock_ns(), all))
        flag(FAMILY_MUTEX);
    self_leave();
}

void lock_charge(const struct lock_charge *c) {
    self_enter();
    kind_lock_held(c->kind, c->object, &c->hit);
    self_leave();
}

void lock_start(void) {
    __atomic_store_n(&hot_lock.alone, &__libc_single_threaded, __ATOMIC_RELAXED);
}

/* Waits under way end as they would have. */
void lock_stop(void) {
    if (!lock_on())
        __atomic_store_n(&hot_lock.alone, &never_alone_again, __ATOMIC_RELAXED);
}

void lock_reset(void) {
    atomic_fetch_add(&locks.epoch, 1);
    atomic_store(&locks.waiters, NULL);
    atomic_store(&locks.conds, NULL);
    lock_wake_reset();
    memset(hot_lock.waited, 0, sizeof hot_lock.waited);
    lock_total_reset();
}
