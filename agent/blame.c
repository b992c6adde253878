/*
 * ANYWHERE. Why so few pieces: a wait behind a long queue is one long hold, and many short holds
 * with a wake-up between each two. Neighbours blamed on the same are one piece; the short ones melt
 * into each other, and what stays apart is what a reader of a profile would look at. What a merge
 * moves to the wrong stack is at most a ninth of the wait, each time.
 *
 * A past forgets by age and not by length: the idle hour before would outweigh all that came since.
 */
#include "agent/blame.h"

#include <string.h>

static uint64_t length(const struct blame_piece *p) { return p->to - p->from; }

static bool same(const struct blamed *a, const struct blamed *b) {
    return a->row == b->row && a->weight == b->weight && a->nobody == b->nobody;
}

static void take_out(struct blame *b, unsigned i) {
    b->n--;
    memmove(&b->at[i], &b->at[i + 1], (b->n - i) * sizeof b->at[0]);
}

/* Makes i and i + 1 one, blamed on what `on` is blamed on. */
static void merge(struct blame *b, unsigned i, struct blamed on) {
    b->at[i].to = b->at[i + 1].to;
    b->at[i].on = on;
    take_out(b, i + 1);
}

/* Pieces of one wait: all of them touch. */
static void squeeze(struct blame *b) {
    unsigned least = 0;
    for (unsigned i = 1; i < b->n; i++)
        if (length(&b->at[i]) < length(&b->at[least]))
            least = i;
    bool first = least == 0, last = least + 1 == b->n;
    unsigned into = first || (!last && length(&b->at[least + 1]) > length(&b->at[least - 1]))
                        ? least + 1
                        : least - 1;
    unsigned at = into < least ? into : least;
    merge(b, at, b->at[into].on);
    /* What the shortest kept apart may be the same on both sides. */
    if (at + 1 < b->n && same(&b->at[at].on, &b->at[at + 1].on))
        merge(b, at, b->at[at].on);
    if (at > 0 && same(&b->at[at - 1].on, &b->at[at].on))
        merge(b, at - 1, b->at[at].on);
}

void blame_add(struct blame *wait, uint64_t from, uint64_t to, const struct blamed *on) {
    struct blame_piece *last = wait->n ? &wait->at[wait->n - 1] : NULL;
    if (last && from < last->to)
        from = last->to;
    if (to <= from)
        return;
    if (last && same(&last->on, on)) {
        last->to = to;
        return;
    }
    wait->at[wait->n++] = (struct blame_piece){from, to, *on};
    if (wait->n > BLAME_PIECES)
        squeeze(wait);
}

void blame_keep(struct blame *past, const struct blame *wait) {
    unsigned room = BLAME_PIECES - past->n, old = wait->n > room ? wait->n - room : 0;
    uint64_t end = past->n ? past->at[past->n - 1].to : 0;
    past->n -= old;
    if (old)
        memmove(past->at, past->at + old, past->n * sizeof past->at[0]);
    for (unsigned i = 0; i < wait->n; i++) {
        if (wait->at[i].to <= end)
            continue;
        past->at[past->n] = wait->at[i];
        if (past->at[past->n].from < end)
            past->at[past->n].from = end;
        past->n++;
    }
}

unsigned blame_first(const struct blame *past, uint64_t from) {
    unsigned i = past->n;
    while (i > 0 && past->at[i - 1].to > from)
        i--;
    return i;
}

bool blame_cut(const struct blame_piece *p, uint64_t from, uint64_t to,
               struct blame_piece *ret_part) {
    *ret_part = *p;
    if (ret_part->from < from)
        ret_part->from = from;
    if (ret_part->to > to)
        ret_part->to = to;
    return ret_part->from < ret_part->to;
}

uint64_t blame_own(const struct blame *past, uint64_t from, uint64_t to) {
    uint64_t own = to - from;
    struct blame_piece part;
    for (unsigned i = blame_first(past, from); i < past->n; i++)
        if (blame_cut(&past->at[i], from, to, &part))
            own -= length(&part);
    return own;
}

void blame_pass(const struct blame *past, uint64_t from, uint64_t to, const struct blamed *own,
                struct blame *wait) {
    struct blame_piece part;
    for (unsigned i = blame_first(past, from); i < past->n; i++) {
        if (!blame_cut(&past->at[i], from, to, &part))
            continue;
        blame_add(wait, from, part.from, own);
        blame_add(wait, part.from, part.to, &part.on);
        from = part.to;
    }
    blame_add(wait, from, to, own);
}
