#include "agent/freeze.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "agent/agent.h"
#include "common/hash.h"

/* Room for one more in an array of cap elements: doubled when full. False without memory. */
static bool grow(void **array, uint32_t *cap, uint32_t n, size_t size) {
    if (n < *cap)
        return true;
    uint32_t more = *cap ? 2 * *cap : 64;
    void *fresh = realloc(*array, more * size);
    if (!fresh)
        return false;
    *array = fresh;
    *cap = more;
    return true;
}

static int32_t mapping_of(struct freeze *f, const struct module *m) {
    struct snapshot *s = &f->snapshot;
    for (uint32_t i = s->n_mappings; i-- > 0;)
        if (f->modules[i] == m)
            return (int32_t)i;
    uint32_t cap = f->mappings_cap;
    if (!grow((void **)&s->mappings, &cap, s->n_mappings, sizeof *s->mappings) ||
        !grow((void **)&f->modules, &f->mappings_cap, s->n_mappings,
              sizeof(const struct module *))) {
        f->no_memory = true;
        return -1;
    }
    struct snapshot_mapping *p = &s->mappings[s->n_mappings];
    *p = (struct snapshot_mapping){
        .start = m->start,
        .limit = m->end,
        .offset = m->offset,
        .path = m->path,
        .dev = m->dev,
        .inode = m->inode,
    };
    memcpy(p->build_id, m->build_id, sizeof p->build_id);
    f->modules[s->n_mappings] = m;
    return (int32_t)s->n_mappings++;
}

static void location_name(struct freeze *f, struct snapshot_location *l, const char *name) {
    l->lines = snapshot_alloc(&f->snapshot, sizeof *l->lines);
    if (!l->lines) {
        f->no_memory = true;
        return;
    }
    l->lines->name = name;
    l->n_lines = 1;
}

static void location_fill(struct freeze *f, struct snapshot_location *l, uint64_t pc) {
    *l = (struct snapshot_location){.address = frame_address(pc), .mapping = -1};
    if (frame_is_elided(pc)) {
        char buf[48];
        struct text name = TEXT_ON(buf);
        frame_elided_name(&name, pc);
        location_name(f, l, snapshot_text(&f->snapshot, buf, strlen(buf)));
        return;
    }
    if (frame_is_special(pc)) {
        location_name(f, l, frame_names[pc]);
        return;
    }
    const struct module *m = module_find_ever(pc);
    if (m)
        l->mapping = mapping_of(f, m);
}

static bool index_grow(struct freeze *f) {
    uint32_t cap = f->index_cap ? 2 * f->index_cap : 1024;
    uint32_t *fresh = calloc(cap, sizeof *fresh);
    if (!fresh)
        return false;
    for (uint32_t i = 0; i < f->snapshot.n_locations; i++) {
        uint32_t at = (uint32_t)hash_mix(f->frames[i]) & (cap - 1);
        while (fresh[at])
            at = (at + 1) & (cap - 1);
        fresh[at] = i + 1;
    }
    free(f->index);
    f->index = fresh;
    f->index_cap = cap;
    return true;
}

static uint32_t location_of(struct freeze *f, uint64_t pc) {
    struct snapshot *s = &f->snapshot;
    if (2 * s->n_locations >= f->index_cap && !index_grow(f))
        goto no_memory;
    uint32_t at = (uint32_t)hash_mix(pc) & (f->index_cap - 1);
    for (; f->index[at]; at = (at + 1) & (f->index_cap - 1))
        if (f->frames[f->index[at] - 1] == pc)
            return f->index[at] - 1;
    if (!grow((void **)&s->locations, &f->locations_cap, s->n_locations, sizeof *s->locations) ||
        !grow((void **)&f->frames, &f->frames_cap, s->n_locations, sizeof *f->frames))
        goto no_memory;
    f->frames[s->n_locations] = pc;
    location_fill(f, &s->locations[s->n_locations], pc);
    f->index[at] = ++s->n_locations;
    return s->n_locations - 1;
no_memory:
    f->no_memory = true;
    return 0;
}

static void label_add(struct freeze *f, struct snapshot_sample *to, struct snapshot_label *at,
                      const struct snapshot_label *l) {
    at[to->n_labels] = *l;
    if (l->str && !(at[to->n_labels].str = snapshot_text(&f->snapshot, l->str, strlen(l->str))))
        f->no_memory = true;
    else
        to->n_labels++;
}

/* The kind's own labels, then the thread's. */
static void sample_labels(struct freeze *f, struct snapshot_sample *to, const struct who *who,
                          const struct snapshot_label *own, unsigned n_own) {
    struct snapshot_label *l = snapshot_alloc(&f->snapshot, (n_own + 2) * sizeof *l);
    if (!l) {
        f->no_memory = true;
        return;
    }
    to->labels = l;
    for (unsigned i = 0; i < n_own; i++)
        label_add(f, to, l, &own[i]);
    if (!who)
        return;
    char name[sizeof who->name + 1] = "";
    memcpy(name, who->name, strnlen(who->name, sizeof who->name - 1));
    if (name[0])
        label_add(f, to, l, &(struct snapshot_label){.key = "thread", .str = name});
    label_add(f, to, l, &(struct snapshot_label){.key = "tid", .num = who->tid});
}

void freeze_begin(struct freeze *f, const struct kind_info *kind) {
    *f = (struct freeze){0};
    struct snapshot *s = &f->snapshot;
    s->kind = kind;
    s->n_values = kind->n_values;
    memcpy(s->values, kind->values, sizeof s->values);
    s->period_type = kind->period_type;
    s->period_unit = kind->period_unit;
    s->period = 1;
    const struct module *exe = module_find_ever(getauxval(AT_ENTRY));
    if (exe)
        mapping_of(f, exe);
}

void freeze_row_labelled(struct freeze *f, const struct row *row, const int64_t *values,
                         const struct snapshot_label *labels, unsigned n_labels) {
    struct snapshot *s = &f->snapshot;
    bool empty = true;
    for (unsigned i = 0; i < s->n_values; i++)
        empty = empty && values[i] == 0;
    if (empty)
        return;
    const uint64_t other = frame_special(FRAME_OTHER);
    const uint64_t *pcs = row->stack ? row->stack->pcs : &other;
    uint32_t n = row->stack ? row->stack->n : 1;
    uint32_t *locations = snapshot_alloc(s, n * sizeof *locations);
    if (!locations ||
        !grow((void **)&s->samples, &f->samples_cap, s->n_samples, sizeof *s->samples)) {
        f->no_memory = true;
        return;
    }
    struct snapshot_sample *to = &s->samples[s->n_samples++];
    *to = (struct snapshot_sample){.locations = locations, .n_locations = n};
    for (uint32_t i = 0; i < n; i++)
        locations[i] = location_of(f, pcs[i]);
    for (unsigned i = 0; i < s->n_values; i++)
        to->values[i] = values[i];
    if (row->who || n_labels)
        sample_labels(f, to, row->who, labels, n_labels);
}

void freeze_row(struct freeze *f, const struct row *row, const int64_t *values) {
    freeze_row_labelled(f, row, values, NULL, 0);
}

void freeze_window(struct freeze *f, struct row *row) {
    int64_t gained[KIND_MAX_VALUES];
    for (unsigned i = 0; i < KIND_MAX_VALUES; i++) {
        int64_t now = atomic_load_explicit(&row->sums[i], memory_order_relaxed);
        gained[i] = now - row->written[i];
        row->written[i] = now;
    }
    freeze_row(f, row, gained);
}

void freeze_name_rest(struct freeze *f) {
    for (uint32_t i = 0; i < f->snapshot.n_locations; i++) {
        struct snapshot_location *l = &f->snapshot.locations[i];
        if (l->mapping < 0 && l->n_lines == 0)
            location_name(f, l, frame_names[FRAME_ANONYMOUS]);
    }
}

void freeze_done(struct freeze *f) {
    free(f->snapshot.mappings);
    free(f->snapshot.locations);
    free(f->snapshot.samples);
    free(f->index);
    free(f->frames);
    free(f->modules);
    snapshot_done(&f->snapshot);
    *f = (struct freeze){0};
}
