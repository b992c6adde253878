/* ANYWHERE. The spin of a bucket here is held while one of the waiters' table is taken, never the
 * other way round: a token and its place in the mutex's entry appear together. */
#include "agent/conds.h"

#include <stddef.h>
#include <string.h>

#include "common/hash.h"
#include "common/spin.h"

static struct conds_bucket *bucket_of(struct conds *s, const void *cond) {
    return &s->buckets[hash_mix((uintptr_t)cond) % CONDS_BUCKETS];
}

static struct conds_entry *entry_find(struct conds_bucket *b, const void *cond) {
    for (unsigned i = 0; i < CONDS_WAYS; i++)
        if (b->at[i].cond == cond)
            return &b->at[i];
    return NULL;
}

bool conds_maybe(struct conds *s, const void *cond) {
    return atomic_load_explicit(&bucket_of(s, cond)->n, memory_order_relaxed) != 0;
}

bool conds_enter(struct conds *s, const void *cond, const void *mutex) {
    struct conds_bucket *b = bucket_of(s, cond);
    if (!spin_lock(&b->spin, SPIN_PATIENCE))
        return false;
    struct conds_entry *e = entry_find(b, cond);
    if (!e && (e = entry_find(b, NULL)))
        *e = (struct conds_entry){.cond = cond};
    if (e) {
        e->mutex = mutex;
        e->n++;
        atomic_fetch_add(&b->n, 1);
    }
    spin_unlock(&b->spin);
    return e != NULL;
}

static struct conds_run *run_for(struct conds_entry *e, uint64_t at) {
    for (unsigned i = 0; i < CONDS_RUNS; i++)
        if (e->runs[i].n == 0 || e->runs[i].at == at)
            return &e->runs[i];
    return NULL;
}

static uint32_t give_tokens(struct conds_entry *e, struct waiters *w, uint64_t now, bool all) {
    uint32_t asleep = e->n - e->tokens, n = all || !asleep ? asleep : 1;
    struct conds_run *r = run_for(e, now);
    if (!n || !r || !waiters_enter_signaled(w, e->mutex, &now, n))
        return 0;
    r->at = now;
    r->n += n;
    e->tokens += n;
    return n;
}

uint32_t conds_signal(struct conds *s, struct waiters *w, const void *cond, uint64_t now,
                      bool all) {
    struct conds_bucket *b = bucket_of(s, cond);
    uint32_t n = 0;
    if (!spin_lock(&b->spin, SPIN_PATIENCE))
        return 0;
    struct conds_entry *e = entry_find(b, cond);
    if (e)
        n = give_tokens(e, w, now, all);
    spin_unlock(&b->spin);
    return n;
}

static uint64_t take_token(struct conds_entry *e) {
    uint64_t at = e->runs[0].at;
    e->tokens--;
    if (--e->runs[0].n == 0) {
        memmove(&e->runs[0], &e->runs[1], (CONDS_RUNS - 1) * sizeof e->runs[0]);
        e->runs[CONDS_RUNS - 1].n = 0;
    }
    return at;
}

/* One that was not signaled takes a token only when there are more of them than threads left. */
uint64_t conds_leave(struct conds *s, const void *cond, bool signaled) {
    struct conds_bucket *b = bucket_of(s, cond);
    uint64_t at = 0;
    if (!spin_lock(&b->spin, SPIN_PATIENCE))
        return 0;
    struct conds_entry *e = entry_find(b, cond);
    if (e) {
        e->n--;
        if (e->tokens && (signaled || e->tokens > e->n))
            at = take_token(e);
        if (e->n == 0)
            e->cond = NULL;
        atomic_fetch_sub(&b->n, 1);
    }
    spin_unlock(&b->spin);
    return at;
}
