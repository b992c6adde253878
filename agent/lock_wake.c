/*
 * ANYWHERE. Why the stack is walked in front of the wake here, and behind it elsewhere: the woken
 * thread may wake the next one before a walk behind it was done, and must hand the row on. The lock
 * was let go of already, in the host's own memory; it is only the sleeper that hears of it later,
 * once for each period of waiting.
 */
#include "agent/lock_wake.h"

#include "agent/agent.h"
#include "agent/kind_lock.h"
#include "agent/lock.h"
#include "agent/lock_total.h"
#include "agent/parked.h"

static struct { struct parked *_Atomic table; } lock_wake;

static struct parked *table_get(void) {
    return ARENA_LINES_ONCE(&agent.arena, &lock_wake.table, 1);
}

/* A handler's wait inside of another one passes: that one is the thread's wait. */
static bool is_for_us(const struct lock_wait *w) {
    return w->info.kind == LOCK_FUTEX && w->thread && w->thread == self.thread && !w->outer.object;
}

void lock_wake_sleep(const struct lock_wait *w) {
    bool on = atomic_load_explicit(&locks.mutex_on, memory_order_relaxed);
    struct parked *p = on && is_for_us(w) ? table_get() : NULL;
    if (p)
        parked_enter(p, (const void *)w->info.object, w->thread, w->from_ns);
}

void lock_wake_up(const struct lock_wait *w, int how, uint64_t now) {
    if (is_for_us(w))
        parked_leave(w->thread, now, how == LOCK_DONE);
}

/* To whom the past says; of what remains the running thread is the holder. */
static void charge_past(const struct blame *past, uint64_t from, uint64_t to) {
    struct blame_piece part;
    for (unsigned i = blame_first(past, from); i < past->n; i++) {
        if (!blame_cut(&past->at[i], from, to, &part))
            continue;
        uint64_t ns = part.to - part.from;
        lock_total_add(part.on.nobody ? TOTAL_WAKEUP : TOTAL_CHARGED, ns);
        if (part.on.row)
            kind_lock_held_also(part.on.row, (uint64_t)((double)ns * part.on.weight + 0.5));
    }
}

static struct blamed charge_own(const void *word, uint64_t ns) {
    struct grid_hit hit;
    lock_total_add(TOTAL_CHARGED, ns);
    if (!ns || !kind_lock_due(&hit, ns))
        return (struct blamed){0};
    struct row *row = kind_lock_held(LOCK_FUTEX, word, &hit);
    return (struct blamed){row, row ? (float)((double)hit.delay_ns / (double)ns) : 0, false};
}

bool lock_wake_charge(const void *word, uint64_t now, uint64_t ns) {
    static const struct blame none;
    struct parked *p = atomic_load_explicit(&lock_wake.table, memory_order_acquire);
    uint64_t from = now - ns;
    struct thread *sleeper = p ? parked_sleeper(p, word, from) : NULL;
    if (!sleeper)
        return false;
    const struct blame *past = self.thread ? &self.thread->parker.past : &none;
    charge_past(past, from, now);
    struct blamed own = charge_own(word, blame_own(past, from, now));
    parked_blame(sleeper, word, past, from, now, &own);
    return true;
}

void lock_wake_reset(void) { atomic_store(&lock_wake.table, NULL); }
