#pragma once
/*
 * ANYWHERE (with the agent's malloc). Tables at work -> a profile at rest: copies rows into a
 * struct snapshot, gives every address one location and every used module one mapping. Writers go
 * on meanwhile.
 */
#include "agent/module.h"
#include "agent/table.h"
#include "common/snapshot.h"

struct freeze {
    struct snapshot snapshot;
    bool no_memory; /* something is missing: the snapshot must not be written */
    uint32_t samples_cap, locations_cap, mappings_cap;
    uint32_t *index; /* open addressing: frame -> location + 1 */
    uint32_t index_cap, frames_cap;
    uint64_t *frames;              /* of each location */
    const struct module **modules; /* of each mapping */
};

/* Starts an empty profile of that kind; the main binary becomes mapping 0. */
void freeze_begin(struct freeze *f, const struct kind_info *kind);
/* Adds a row with these values; a row of zeros is left out. */
void freeze_row(struct freeze *f, const struct row *row, const int64_t *values);
/* The same with labels of the kind's own in front of the thread's; keys are constants, texts are
 * copied. */
void freeze_row_labelled(struct freeze *f, const struct row *row, const int64_t *values,
                         const struct snapshot_label *labels, unsigned n_labels);
/* Adds what the row gained since the last file, and marks it as written. */
void freeze_window(struct freeze *f, struct row *row);
/* Names what no file and no perf map could name, so that nothing shows as a bare "<unknown>". */
void freeze_name_rest(struct freeze *f);
/* Frees all, the snapshot included. */
void freeze_done(struct freeze *f);
