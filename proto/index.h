#pragma once
/*
 * A hash index beside an array: hash -> positions that may match. The array's owner compares, so
 * one index serves strings, functions and ids. Positions are counted from 1; 0 means none.
 *
 *     for (uint32_t step = 0, at; (at = index_next(ix, hash, &step));)
 *         if (array[at - 1] is it) return at;
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct index {
    struct index_slot {
        uint32_t hash, at;
    } * slots;
    uint32_t n_slots; /* a power of two or 0; n < n_slots / 2 */
    uint32_t n;
};

/* The next position whose hash is equal, 0 when there is no more. *step starts at 0. */
static inline uint32_t index_next(const struct index *ix, uint64_t hash, uint32_t *step) {
    for (uint32_t mask = ix->n_slots - 1; ix->n_slots && *step <= mask;) {
        const struct index_slot *slot = &ix->slots[((uint32_t)hash + (*step)++) & mask];
        if (!slot->at)
            return 0;
        if (slot->hash == (uint32_t)hash)
            return slot->at;
    }
    return 0;
}

static inline void index_put(struct index *ix, uint32_t hash, uint32_t at) {
    uint32_t i = hash & (ix->n_slots - 1);
    while (ix->slots[i].at)
        i = (i + 1) & (ix->n_slots - 1);
    ix->slots[i] = (struct index_slot){hash, at};
}

/* False without memory; the index is unchanged then. */
static inline bool index_add(struct index *ix, uint64_t hash, uint32_t at) {
    if (2 * (ix->n + 1) >= ix->n_slots) {
        struct index more = {.n_slots = ix->n_slots ? 2 * ix->n_slots : 256};
        more.slots = calloc(more.n_slots, sizeof *more.slots);
        if (!more.slots)
            return false;
        for (uint32_t i = 0; i < ix->n_slots; i++)
            if (ix->slots[i].at)
                index_put(&more, ix->slots[i].hash, ix->slots[i].at);
        more.n = ix->n;
        free(ix->slots);
        *ix = more;
    }
    index_put(ix, (uint32_t)hash, at);
    ix->n++;
    return true;
}

static inline void index_done(struct index *ix) {
    free(ix->slots);
    *ix = (struct index){0};
}
