/*
 * Profiles come from anywhere, so nothing in them is believed: sizes are bounded before memory is
 * taken, every id and string index is checked, and a profile is taken whole or not at all.
 * protobuf-c decodes; its memory has a budget, because two bytes of input can cost a hundred bytes
 * of message.
 */
#include "proto/pprof.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/hash.h"
#include "profile.pb-c.h"
#include "proto/index.h"

enum { GZIP_WINDOW = 15 + 16 };
static const size_t MAX_PLAIN = (size_t)256 << 20;
static const size_t MAX_DECODED = (size_t)2 << 30;

typedef Perftools__Profiles__Profile Profile;

struct ids {
    uint64_t *at;
    uint32_t n;
    struct index index;
};

struct reader {
    const Profile *p;
    struct snapshot s;
    const char **strings;
    struct ids mappings, locations, functions;
    const char *why;
    int err;
};

static void *budget_alloc(void *data, size_t n) {
    size_t *left = data;
    if (n > *left)
        return NULL;
    *left -= n;
    return malloc(n);
}

static void budget_free(void *data, void *p) { free(p); }

/* Every failure ends here; the first one is told. Returns false. */
static bool reject(struct reader *r, const char *why) {
    if (!r->err) {
        r->err = -EINVAL;
        r->why = why;
    }
    return false;
}

static bool out_of_memory(struct reader *r) {
    if (!r->err) {
        r->err = -ENOMEM;
        r->why = "out of memory";
    }
    return false;
}

static void *take(struct reader *r, size_t n, size_t size) {
    void *p = snapshot_alloc(&r->s, n * size);
    if (!p)
        out_of_memory(r);
    return p;
}

/* gzip ------------------------------------------------------------------------------------------
 */

static int inflate_some(z_stream *z, uint8_t **out, size_t *n, size_t *max, const char **ret_why) {
    if (*n == *max) {
        size_t more = *max ? 2 * *max : (size_t)1 << 20;
        if (more > MAX_PLAIN)
            return *ret_why = "larger than 256 MiB", -EINVAL;
        uint8_t *p = realloc(*out, more);
        if (!p)
            return *ret_why = "out of memory", -ENOMEM;
        *out = p;
        *max = more;
    }
    z->next_out = *out + *n;
    z->avail_out = (uInt)(*max - *n);
    int status = inflate(z, Z_NO_FLUSH);
    *n = *max - z->avail_out;
    if (status == Z_STREAM_END)
        return z->avail_in ? (inflateReset(z), 0) : 1; /* gzip members may follow each other */
    if (status == Z_MEM_ERROR)
        return *ret_why = "out of memory", -ENOMEM;
    if (status != Z_OK)
        return *ret_why = status == Z_BUF_ERROR ? "gzip: cut short" : "gzip: damaged", -EINVAL;
    return 0;
}

static int gunzip(const void *bytes, size_t n, uint8_t **ret_plain, size_t *ret_n,
                  const char **ret_why) {
    z_stream z = {.next_in = (void *)bytes, .avail_in = (uInt)n};
    if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
        return *ret_why = "out of memory", -ENOMEM;
    uint8_t *out = NULL;
    size_t used = 0, max = 0;
    int r;
    do
        r = inflate_some(&z, &out, &used, &max, ret_why);
    while (r == 0);
    inflateEnd(&z);
    if (r < 0) {
        free(out);
        return r;
    }
    *ret_plain = out;
    *ret_n = used;
    return 0;
}

/* Ids -------------------------------------------------------------------------------------------
 */

/* The ids of one space in file order: any non-zero number, each once. Positions count from 1; 0: no
 * such id. */
static uint32_t id_at(const struct ids *ids, uint64_t id) {
    for (uint32_t step = 0, at; (at = index_next(&ids->index, hash_mix(id), &step));)
        if (ids->at[at - 1] == id)
            return at;
    return 0;
}

static bool id_add(struct reader *r, struct ids *ids, uint64_t id) {
    if (id == 0 || id_at(ids, id))
        return reject(r, "an id is zero or occurs twice");
    ids->at[ids->n++] = id;
    return index_add(&ids->index, hash_mix(id), ids->n) || out_of_memory(r);
}

static bool read_ids(struct reader *r) {
    const Profile *p = r->p;
    r->mappings.at = take(r, p->n_mapping, sizeof(uint64_t));
    r->locations.at = take(r, p->n_location, sizeof(uint64_t));
    r->functions.at = take(r, p->n_function, sizeof(uint64_t));
    for (size_t i = 0; !r->err && i < p->n_mapping; i++)
        id_add(r, &r->mappings, p->mapping[i]->id);
    for (size_t i = 0; !r->err && i < p->n_location; i++)
        id_add(r, &r->locations, p->location[i]->id);
    for (size_t i = 0; !r->err && i < p->n_function; i++)
        id_add(r, &r->functions, p->function[i]->id);
    return !r->err;
}

/* Strings ---------------------------------------------------------------------------------------
 */

static bool read_strings(struct reader *r) {
    const Profile *p = r->p;
    if (p->n_string_table == 0 || *p->string_table[0])
        return reject(r, "string table does not start with an empty string");
    r->strings = take(r, p->n_string_table, sizeof *r->strings);
    for (size_t i = 0; r->strings && i < p->n_string_table; i++) {
        const char *s = p->string_table[i];
        if (!(r->strings[i] = snapshot_text(&r->s, s, strlen(s))))
            out_of_memory(r);
    }
    return !r->err;
}

static const char *string(struct reader *r, int64_t at) {
    if (at < 0 || (uint64_t)at >= r->p->n_string_table) {
        reject(r, "a string index is out of range");
        return "";
    }
    return r->strings[at];
}

/* NULL for the empty string. */
static const char *string_or_null(struct reader *r, int64_t at) {
    const char *s = string(r, at);
    return *s ? s : NULL;
}

/* Parts -----------------------------------------------------------------------------------------
 */

static bool read_header(struct reader *r) {
    const Profile *p = r->p;
    struct snapshot *s = &r->s;
    if (p->n_sample_type > KIND_MAX_VALUES)
        return reject(r, "more than four sample types");
    if (p->n_sample_type == 0)
        return reject(r, "no sample types");
    s->n_values = (unsigned)p->n_sample_type;
    for (unsigned i = 0; i < s->n_values; i++)
        s->values[i] = (struct kind_value){string(r, p->sample_type[i]->type),
                                           string(r, p->sample_type[i]->unit)};
    if (p->period_type) {
        s->period_type = string(r, p->period_type->type);
        s->period_unit = string(r, p->period_type->unit);
    }
    s->period = p->period;
    s->default_value = string_or_null(r, p->default_sample_type);
    s->time_ns = p->time_nanos;
    s->duration_ns = p->duration_nanos;
    s->drop_frames = string_or_null(r, p->drop_frames);
    s->doc_url = string_or_null(r, p->doc_url);
    return !r->err;
}

static bool read_mappings(struct reader *r) {
    const Profile *p = r->p;
    r->s.n_mappings = (uint32_t)p->n_mapping;
    r->s.mappings = take(r, p->n_mapping, sizeof *r->s.mappings);
    for (size_t i = 0; r->s.mappings && i < p->n_mapping; i++) {
        const Perftools__Profiles__Mapping *from = p->mapping[i];
        struct snapshot_mapping *m = &r->s.mappings[i];
        *m = (struct snapshot_mapping){
            .start = from->memory_start,
            .limit = from->memory_limit,
            .offset = from->file_offset,
            .path = string(r, from->filename),
            .has_names = from->has_functions,
            .has_files = from->has_filenames,
            .has_lines = from->has_line_numbers,
            .has_inlines = from->has_inline_frames,
        };
        strncpy(m->build_id, string(r, from->build_id), sizeof m->build_id - 1);
    }
    return !r->err;
}

static void read_line(struct reader *r, const Perftools__Profiles__Line *from,
                      struct snapshot_line *l) {
    uint32_t at = id_at(&r->functions, from->function_id);
    if (!at) {
        reject(r, "a line refers to no function");
        return;
    }
    const Perftools__Profiles__Function *f = r->p->function[at - 1];
    l->name = string_or_null(r, f->name);
    l->system_name = f->system_name == f->name ? NULL : string_or_null(r, f->system_name);
    l->file = string_or_null(r, f->filename);
    l->line = from->line;
    l->start_line = f->start_line;
}

static bool read_locations(struct reader *r) {
    const Profile *p = r->p;
    r->s.n_locations = (uint32_t)p->n_location;
    r->s.locations = take(r, p->n_location, sizeof *r->s.locations);
    for (size_t i = 0; !r->err && i < p->n_location; i++) {
        const Perftools__Profiles__Location *from = p->location[i];
        struct snapshot_location *l = &r->s.locations[i];
        uint32_t mapping = from->mapping_id ? id_at(&r->mappings, from->mapping_id) : 0;
        if (from->mapping_id && !mapping)
            return reject(r, "a location refers to no mapping");
        l->address = from->address;
        l->mapping = (int32_t)mapping - 1;
        if (from->n_line && !(l->lines = take(r, from->n_line, sizeof *l->lines)))
            return false;
        l->n_lines = (uint32_t)from->n_line;
        for (size_t j = 0; j < from->n_line; j++)
            read_line(r, from->line[j], &l->lines[j]);
    }
    return !r->err;
}

static void read_labels(struct reader *r, const Perftools__Profiles__Sample *from,
                        struct snapshot_sample *to) {
    struct snapshot_label *labels = from->n_label ? take(r, from->n_label, sizeof *labels) : NULL;
    to->labels = labels;
    to->n_labels = (uint32_t)from->n_label;
    for (size_t i = 0; labels && i < from->n_label; i++) {
        const Perftools__Profiles__Label *l = from->label[i];
        labels[i] = (struct snapshot_label){string(r, l->key), string_or_null(r, l->str), l->num,
                                            string_or_null(r, l->num_unit)};
    }
}

static bool read_samples(struct reader *r) {
    const Profile *p = r->p;
    r->s.n_samples = (uint32_t)p->n_sample;
    r->s.samples = take(r, p->n_sample, sizeof *r->s.samples);
    for (size_t i = 0; !r->err && i < p->n_sample; i++) {
        const Perftools__Profiles__Sample *from = p->sample[i];
        struct snapshot_sample *to = &r->s.samples[i];
        if (from->n_value != p->n_sample_type)
            return reject(r, "a sample has more or fewer values than there are sample types");
        memcpy(to->values, from->value, from->n_value * sizeof *from->value);
        uint32_t *locations = take(r, from->n_location_id, sizeof *locations);
        for (size_t j = 0; locations && j < from->n_location_id; j++) {
            uint32_t at = id_at(&r->locations, from->location_id[j]);
            if (!at)
                return reject(r, "a sample refers to no location");
            locations[j] = at - 1;
        }
        to->locations = locations;
        to->n_locations = (uint32_t)from->n_location_id;
        read_labels(r, from, to);
    }
    return !r->err;
}

/* Kinds -----------------------------------------------------------------------------------------
 */

static bool kind_matches(const struct kind_info *k, const struct snapshot *s) {
    if (k->n_values != s->n_values)
        return false;
    for (unsigned i = 0; i < s->n_values; i++)
        if (strcmp(k->values[i].name, s->values[i].name) ||
            strcmp(k->values[i].unit, s->values[i].unit))
            return false;
    return true;
}

/* Of several types with the same values the one whose main value is shown, then the first. */
static const struct kind_info *guess_kind(const struct snapshot *s) {
    const char *shown = s->default_value ? s->default_value : s->values[s->n_values - 1].name;
    const struct kind_info *found = NULL;
    for (unsigned i = 0; i < KIND_COUNT; i++) {
        if (!kind_matches(&kind_infos[i], s))
            continue;
        if (strcmp(kind_infos[i].main_value, shown) == 0)
            return &kind_infos[i];
        if (!found)
            found = &kind_infos[i];
    }
    return found;
}

static bool read_comments(struct reader *r) {
    const size_t tag = sizeof KIND_COMMENT - 1;
    struct snapshot *s = &r->s;
    s->kind = guess_kind(s);
    for (size_t i = 0; i < r->p->n_comment; i++) {
        const char *text = string(r, r->p->comment[i]);
        if (strncmp(text, KIND_COMMENT, tag) != 0) {
            snapshot_comment(s, text);
            continue;
        }
        const struct kind_info *k = kind_find(text + tag, (unsigned)strlen(text + tag));
        if (k && kind_matches(k, s))
            s->kind = k;
    }
    return !r->err;
}

static int read_profile(const uint8_t *plain, size_t n, struct snapshot *ret_snapshot,
                        const char **ret_why) {
    size_t left = MAX_DECODED;
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &left};
    Profile *p = perftools__profiles__profile__unpack(&allocator, n, plain);
    if (!p) {
        *ret_why = "not a pprof profile";
        return -EINVAL;
    }
    struct reader r = {.p = p};
    bool ok = read_strings(&r) && read_ids(&r) && read_header(&r) && read_mappings(&r) &&
              read_locations(&r) && read_samples(&r) && read_comments(&r);
    index_done(&r.mappings.index);
    index_done(&r.locations.index);
    index_done(&r.functions.index);
    perftools__profiles__profile__free_unpacked(p, &allocator);
    if (ok) {
        *ret_snapshot = r.s;
        return 0;
    }
    snapshot_done(&r.s);
    *ret_why = r.why;
    return r.err;
}

int pprof_read(const void *bytes, size_t n, struct snapshot *ret_snapshot, const char **ret_why) {
    const uint8_t *b = bytes;
    const char *unwanted;
    if (!ret_why)
        ret_why = &unwanted;
    if (n == 0 || n > MAX_PLAIN) {
        *ret_why = n ? "larger than 256 MiB" : "empty";
        return -EINVAL;
    }
    if (n < 2 || b[0] != 0x1f || b[1] != 0x8b)
        return read_profile(b, n, ret_snapshot, ret_why);
    uint8_t *plain;
    size_t n_plain;
    int err = gunzip(bytes, n, &plain, &n_plain, ret_why);
    if (err)
        return err;
    err = read_profile(plain, n_plain, ret_snapshot, ret_why);
    free(plain);
    return err;
}
