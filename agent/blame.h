#pragma once
/*
 * ANYWHERE. Who a wait is blamed on, piece by piece of its time.
 *
 * A thread that sleeps in a wait holds nothing up. So when it wakes another one whose wait began
 * before its own had ended, the time that both slept is not its doing: it belongs to whoever its
 * own wait is blamed on. Of V's wait [from, to], ended by W:
 *
 *     W's past     ....|-- hog --|-latency-|..........
 *     V's wait       |--------------------------|
 *     V's pieces     |W|-- hog --|-latency-|-W--|
 *
 * and when V wakes the next one, these are V's past. A queue of eight behind one hog thus blames
 * the hog eight times, although each unlock wakes one thread.
 *
 * Pieces of a list are in the order of time and do not overlap; of one wait they touch. No locks,
 * no memory of their own.
 */
#include <stdbool.h>
#include <stdint.h>

struct row;

/* A stack that is no sample has no row and weighs nothing; its time counts all the same. Weights
 * are those of the sample (delay / length of the wait that it was taken for), so that a part of
 * that time, inherited however often, stands for its length on average. */
struct blamed {
    struct row *row;
    float weight;
    bool nobody; /* wake-up latency */
};

struct blame_piece {
    uint64_t from, to;
    struct blamed on;
};

enum { BLAME_PIECES = 8 };

/* Valid when zero. */
struct blame {
    unsigned n;
    struct blame_piece at[BLAME_PIECES + 1]; /* the last one is room to choose what must go */
};

/* Adds a piece of a wait behind those it has. Of too many the shortest becomes part of the longer
 * one beside it. */
void blame_add(struct blame *wait, uint64_t from, uint64_t to, const struct blamed *on);
/* The wait has ended: it is the latest of the thread's past, which forgets its oldest. */
void blame_keep(struct blame *past, const struct blame *wait);
/* The number of the first piece that ends behind that time, or past->n. */
unsigned blame_first(const struct blame *past, uint64_t from);
/* The part of a piece between two times; false if there is none. */
bool blame_cut(const struct blame_piece *p, uint64_t from, uint64_t to,
               struct blame_piece *ret_part);
/* Of [from, to], in which another thread waited for the one with this past: what is its own. */
uint64_t blame_own(const struct blame *past, uint64_t from, uint64_t to);
/* Adds that time to the other's wait: what the past says, and `own` between and behind it. */
void blame_pass(const struct blame *past, uint64_t from, uint64_t to, const struct blamed *own,
                struct blame *wait);
