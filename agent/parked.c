/*
 * ANYWHERE. Why the entry of a word stays when its thread goes on: that nobody else waits for it
 * can only be seen over time. Why the wait itself lies in the thread: a host that leaves a wait by
 * longjmp leaves its slot to its next wait, and not a bucket that fills up.
 */
#include "agent/parked.h"

#include <stddef.h>

#include "agent/thread.h"
#include "common/hash.h"
#include "common/spin.h"

static struct parked_bucket *bucket_of(struct parked *p, const void *word) {
    return &p->buckets[hash_mix((uintptr_t)word) % PARKED_BUCKETS];
}

static struct parked_entry *entry_find(struct parked_bucket *b, const void *word) {
    for (unsigned i = 0; i < PARKED_WAYS; i++)
        if (b->at[i].word == word)
            return &b->at[i];
    return NULL;
}

static pid_t tid_of(struct thread *t) {
    return atomic_load_explicit(&t->tid, memory_order_relaxed);
}

/* Under the spin. */
static void entry_claim(struct parked_bucket *b, const void *word, struct thread *t) {
    struct parked_entry *e = entry_find(b, word);
    if (!e && !(e = entry_find(b, NULL)))
        e = &b->at[b->next++ % PARKED_WAYS];
    unsigned strange = e->word == word ? e->strange : 0;
    if (e->word == word && e->thread == t && e->tid == tid_of(t)) {
        e->strange -= strange > 0;
        return;
    }
    if (e->word == word && tid_of(e->thread) == e->tid)
        strange = PARKED_STRANGE;
    *e = (struct parked_entry){word, t, tid_of(t), strange};
}

void parked_enter(struct parked *p, const void *word, struct thread *t, uint64_t now) {
    struct parked_bucket *b = bucket_of(p, word);
    struct parker *own = &t->parker;
    if (!word || !spin_lock(&b->spin, SPIN_PATIENCE))
        return;
    entry_claim(b, word, t);
    spin_unlock(&b->spin);
    if (!spin_lock(&own->spin, SPIN_PATIENCE))
        return;
    own->word = word;
    own->since = now;
    own->wait.n = 0;
    spin_unlock(&own->spin);
}

static struct thread *owner(struct parked *p, const void *word) {
    struct parked_bucket *b = bucket_of(p, word);
    if (!word || !spin_lock(&b->spin, SPIN_PATIENCE))
        return NULL;
    struct parked_entry *e = entry_find(b, word);
    struct thread *t = e && !e->strange && tid_of(e->thread) == e->tid ? e->thread : NULL;
    spin_unlock(&b->spin);
    return t;
}

static bool sleeps(const struct parker *p, const void *word, uint64_t since) {
    return p->word == word && p->since <= since;
}

struct thread *parked_sleeper(struct parked *p, const void *word, uint64_t since) {
    struct thread *t = owner(p, word);
    if (!t || !spin_lock(&t->parker.spin, SPIN_PATIENCE))
        return NULL;
    bool yes = sleeps(&t->parker, word, since);
    spin_unlock(&t->parker.spin);
    return yes ? t : NULL;
}

void parked_blame(struct thread *t, const void *word, const struct blame *past, uint64_t from,
                  uint64_t to, const struct blamed *own) {
    struct parker *p = &t->parker;
    if (!spin_lock(&p->spin, SPIN_PATIENCE))
        return;
    if (sleeps(p, word, from))
        blame_pass(past, from, to, own, &p->wait);
    spin_unlock(&p->spin);
}

/* What lies behind the wake is nobody's doing. A wait that nobody is known to have ended is left
 * out: whoever this thread wakes next is kept waiting by it, as far as we know. */
void parked_leave(struct thread *t, uint64_t now, bool woken) {
    static const struct blamed nobody = {.nobody = true};
    struct parker *p = &t->parker;
    if (!spin_lock(&p->spin, SPIN_PATIENCE))
        return;
    p->word = NULL;
    spin_unlock(&p->spin);
    if (woken && p->wait.n)
        blame_add(&p->wait, p->wait.at[p->wait.n - 1].to, now, &nobody);
    blame_keep(&p->past, &p->wait);
    p->wait.n = 0;
}

void parked_forget(struct thread *t) {
    struct parker *p = &t->parker;
    if (!spin_lock(&p->spin, SPIN_PATIENCE))
        return;
    p->word = NULL;
    spin_unlock(&p->spin);
    p->past.n = p->wait.n = 0;
}
