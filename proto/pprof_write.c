/*
 * Two passes. The first checks every reference and collects strings and functions: all memory is
 * taken here, so a profile that does not fit fails with -ENOMEM before its first byte. The second
 * streams, and can fail only in write(2).
 *
 * Streaming rests on a property of protobuf: concatenated messages merge, repeated fields append.
 * Each sample, location, mapping and function leaves as a Profile of its own that holds nothing
 * else, is packed piece by piece into ProtobufCBuffer.append, and drops straight into deflate.
 * Scalars stand in one part only: a reader that meets time_nanos twice takes the file for two
 * concatenated profiles.
 */
#include "proto/pprof.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/fmt.h"
#include "common/hash.h"
#include "common/sys.h"
#include "profile.pb-c.h"
#include "proto/index.h"

/* Level 1, like Go's: ids and names of 10,000 stacks take 70 ms and 1.58 MB, 88 ms and 1.49 MB at
 * level 4, 154 ms and 1.45 MB at level 6. A window above 15 selects the gzip wrapper. */
enum { LEVEL = 1, GZIP_WINDOW = 15 + 16, CHUNK = 16 << 10 };

typedef Perftools__Profiles__Profile Part;

struct function {
    uint64_t name, system_name, file, start_line;
};

struct writer {
    ProtobufCBuffer buffer; /* first: append() gets a pointer to it */
    const struct snapshot *s;
    struct snapshot cleaned; /* owns strings that were no valid UTF-8 */
    const char **strings;
    uint32_t n_strings, max_strings;
    struct function *functions;
    uint32_t n_functions, max_functions;
    struct index string_index, function_index;
    uint64_t *line_functions; /* function id of every line, in the order of locations */
    uint64_t *stack;          /* room for one sample */
    char kind_comment[sizeof KIND_COMMENT + 32];
    Perftools__Profiles__Label *labels, **label_list;
    Perftools__Profiles__Line *lines, **line_list;
    z_stream z;
    int fd, err;
    size_t written, n_in;
    uint8_t in[CHUNK], out[CHUNK];
};

/* Room for one more element; doubles. False without memory. */
static bool grow(void *array, uint32_t n, uint32_t *max, size_t size) {
    if (n < *max)
        return true;
    uint32_t more = *max ? 2 * *max : 256;
    void *p = realloc(*(void **)array, more * size);
    if (!p)
        return false;
    *(void **)array = p;
    *max = more;
    return true;
}

static bool is_ascii(const char *s, size_t n) {
    unsigned char seen = 0;
    for (size_t i = 0; i < n; i++)
        seen |= (unsigned char)s[i];
    return seen < 0x80;
}

/* The index of s in the string table; NULL is "". Cannot fail for a string seen before. */
static uint64_t string_id(struct writer *w, const char *s) {
    size_t n = s ? strlen(s) : 0;
    if (n && !is_ascii(s, n) && !(s = snapshot_text(&w->cleaned, s, n)))
        w->err = -ENOMEM;
    if (!s)
        s = "";
    uint64_t hash = hash_mix(hash_bytes(s, n));
    for (uint32_t step = 0, at; (at = index_next(&w->string_index, hash, &step));)
        if (strcmp(w->strings[at - 1], s) == 0)
            return at - 1;
    if (!grow(&w->strings, w->n_strings, &w->max_strings, sizeof *w->strings) ||
        !index_add(&w->string_index, hash, w->n_strings + 1)) {
        w->err = -ENOMEM;
        return 0;
    }
    w->strings[w->n_strings] = s;
    return w->n_strings++;
}

static uint64_t function_id(struct writer *w, const struct snapshot_line *l) {
    const char *name = l->name ? l->name : l->system_name;
    struct function f = {string_id(w, name), string_id(w, l->system_name ? l->system_name : name),
                         string_id(w, l->file), (uint64_t)l->start_line};
    uint64_t hash = hash_words(&f.name, sizeof f / sizeof f.name, 0);
    for (uint32_t step = 0, at; (at = index_next(&w->function_index, hash, &step));)
        if (memcmp(&w->functions[at - 1], &f, sizeof f) == 0)
            return at;
    if (!grow(&w->functions, w->n_functions, &w->max_functions, sizeof *w->functions) ||
        !index_add(&w->function_index, hash, w->n_functions + 1)) {
        w->err = -ENOMEM;
        return 0;
    }
    w->functions[w->n_functions++] = f;
    return w->n_functions;
}

/* An empty key or value has no encoding that readers agree on. */
static bool label_counts(const struct snapshot_label *l) {
    return l->key && *l->key && (!l->str || *l->str);
}

/* First pass ------------------------------------------------------------------------------------
 */

static bool references_hold(const struct snapshot *s) {
    if (s->n_values > KIND_MAX_VALUES)
        return false;
    for (uint32_t i = 0; i < s->n_locations; i++)
        if (s->locations[i].mapping < -1 || s->locations[i].mapping >= (int64_t)s->n_mappings)
            return false;
    for (uint32_t i = 0; i < s->n_samples; i++)
        for (uint32_t j = 0; j < s->samples[i].n_locations; j++)
            if (s->samples[i].locations[j] >= s->n_locations)
                return false;
    return true;
}

static void collect_header(struct writer *w) {
    const struct snapshot *s = w->s;
    string_id(w, "");
    for (unsigned i = 0; i < s->n_values; i++) {
        string_id(w, s->values[i].name);
        string_id(w, s->values[i].unit);
    }
    string_id(w, s->period_type);
    string_id(w, s->period_unit);
    string_id(w, s->default_value);
    string_id(w, s->drop_frames);
    string_id(w, s->doc_url);
    if (s->kind) {
        struct text t = TEXT_ON(w->kind_comment);
        text_str(&t, KIND_COMMENT);
        text_str(&t, s->kind->name);
        string_id(w, w->kind_comment);
    }
    for (uint32_t i = 0; i < s->n_comments; i++)
        string_id(w, s->comments[i]);
    for (uint32_t i = 0; i < s->n_mappings; i++) {
        string_id(w, s->mappings[i].path);
        string_id(w, s->mappings[i].build_id);
    }
}

static void collect_lines(struct writer *w) {
    size_t n = 0, most = 0;
    for (uint32_t i = 0; i < w->s->n_locations; i++) {
        n += w->s->locations[i].n_lines;
        if (w->s->locations[i].n_lines > most)
            most = w->s->locations[i].n_lines;
    }
    w->line_functions = malloc((n + 1) * sizeof *w->line_functions);
    w->lines = malloc((most + 1) * sizeof *w->lines);
    w->line_list = malloc((most + 1) * sizeof(void *));
    if (!w->line_functions || !w->lines || !w->line_list) {
        w->err = -ENOMEM;
        return;
    }
    /* Locations of one function often share their lines: one look at the neighbour saves the
     * hashing. */
    const struct snapshot_line *previous = NULL;
    uint64_t *out = w->line_functions;
    for (uint32_t i = 0; i < w->s->n_locations; i++) {
        const struct snapshot_location *l = &w->s->locations[i];
        for (uint32_t j = 0; j < l->n_lines; j++, out++) {
            *out = &l->lines[j] == previous ? out[-1] : function_id(w, &l->lines[j]);
            previous = &l->lines[j];
        }
    }
}

static void collect_samples(struct writer *w) {
    size_t most_frames = 0, most_labels = 0;
    for (uint32_t i = 0; i < w->s->n_samples; i++) {
        const struct snapshot_sample *p = &w->s->samples[i];
        if (p->n_locations > most_frames)
            most_frames = p->n_locations;
        if (p->n_labels > most_labels)
            most_labels = p->n_labels;
        for (uint32_t j = 0; j < p->n_labels; j++) {
            string_id(w, p->labels[j].key);
            string_id(w, p->labels[j].str);
            string_id(w, p->labels[j].unit);
        }
    }
    w->stack = malloc((most_frames + 1) * sizeof *w->stack);
    w->labels = malloc((most_labels + 1) * sizeof *w->labels);
    w->label_list = malloc((most_labels + 1) * sizeof(void *));
    if (!w->stack || !w->labels || !w->label_list)
        w->err = -ENOMEM;
}

/* Second pass -----------------------------------------------------------------------------------
 */

static void deflate_some(struct writer *w, int flush) {
    w->z.next_in = w->in;
    w->z.avail_in = (uInt)w->n_in;
    w->n_in = 0;
    do {
        w->z.next_out = w->out;
        w->z.avail_out = CHUNK;
        deflate(&w->z, flush);
        size_t n = CHUNK - w->z.avail_out;
        if (!w->err && n)
            w->err = sys_write_all(w->fd, w->out, n);
        w->written += n;
    } while (!w->err && w->z.avail_out == 0);
}

static void append(ProtobufCBuffer *buffer, size_t n, const uint8_t *data) {
    struct writer *w = (struct writer *)buffer;
    while (n && !w->err) {
        size_t now = n < CHUNK - w->n_in ? n : CHUNK - w->n_in;
        memcpy(w->in + w->n_in, data, now);
        w->n_in += now;
        data += now;
        n -= now;
        if (w->n_in == CHUNK)
            deflate_some(w, Z_NO_FLUSH);
    }
}

static void emit(struct writer *w, const Part *part) {
    perftools__profiles__profile__pack_to_buffer(part, &w->buffer);
}

static void emit_header(struct writer *w) {
    const struct snapshot *s = w->s;
    Part part = PERFTOOLS__PROFILES__PROFILE__INIT;
    Perftools__Profiles__ValueType types[KIND_MAX_VALUES], *list[KIND_MAX_VALUES];
    for (unsigned i = 0; i < s->n_values; i++) {
        perftools__profiles__value_type__init(&types[i]);
        types[i].type = (int64_t)string_id(w, s->values[i].name);
        types[i].unit = (int64_t)string_id(w, s->values[i].unit);
        list[i] = &types[i];
    }
    Perftools__Profiles__ValueType period = PERFTOOLS__PROFILES__VALUE_TYPE__INIT;
    period.type = (int64_t)string_id(w, s->period_type);
    period.unit = (int64_t)string_id(w, s->period_unit);
    part.n_sample_type = s->n_values;
    part.sample_type = list;
    part.period_type = &period;
    part.period = s->period;
    part.time_nanos = s->time_ns;
    part.duration_nanos = s->duration_ns;
    part.drop_frames = (int64_t)string_id(w, s->drop_frames);
    part.default_sample_type = (int64_t)string_id(w, s->default_value);
    part.doc_url = (int64_t)string_id(w, s->doc_url);
    emit(w, &part);
}

static void emit_comment(struct writer *w, const char *text) {
    Part part = PERFTOOLS__PROFILES__PROFILE__INIT;
    int64_t comment = (int64_t)string_id(w, text);
    part.n_comment = 1;
    part.comment = &comment;
    emit(w, &part);
}

static void emit_mapping(struct writer *w, uint32_t i) {
    const struct snapshot_mapping *from = &w->s->mappings[i];
    Perftools__Profiles__Mapping m = PERFTOOLS__PROFILES__MAPPING__INIT, *list = &m;
    m.id = i + 1;
    m.memory_start = from->start;
    m.memory_limit = from->limit;
    m.file_offset = from->offset;
    m.filename = (int64_t)string_id(w, from->path);
    m.build_id = (int64_t)string_id(w, from->build_id);
    m.has_functions = from->has_names;
    m.has_filenames = from->has_files;
    m.has_line_numbers = from->has_lines;
    m.has_inline_frames = from->has_inlines;
    Part part = PERFTOOLS__PROFILES__PROFILE__INIT;
    part.n_mapping = 1;
    part.mapping = &list;
    emit(w, &part);
}

/* *functions runs along line_functions. */
static void emit_location(struct writer *w, uint32_t i, const uint64_t **functions) {
    const struct snapshot_location *from = &w->s->locations[i];
    Perftools__Profiles__Location l = PERFTOOLS__PROFILES__LOCATION__INIT, *list = &l;
    for (uint32_t j = 0; j < from->n_lines; j++) {
        perftools__profiles__line__init(&w->lines[j]);
        w->lines[j].function_id = *(*functions)++;
        w->lines[j].line = from->lines[j].line;
        w->line_list[j] = &w->lines[j];
    }
    l.id = i + 1;
    l.mapping_id = (uint64_t)(from->mapping + 1);
    l.address = from->address;
    l.n_line = from->n_lines;
    l.line = w->line_list;
    Part part = PERFTOOLS__PROFILES__PROFILE__INIT;
    part.n_location = 1;
    part.location = &list;
    emit(w, &part);
}

static void emit_function(struct writer *w, uint32_t i) {
    const struct function *from = &w->functions[i];
    Perftools__Profiles__Function f = PERFTOOLS__PROFILES__FUNCTION__INIT, *list = &f;
    f.id = i + 1;
    f.name = (int64_t)from->name;
    f.system_name = (int64_t)from->system_name;
    f.filename = (int64_t)from->file;
    f.start_line = (int64_t)from->start_line;
    Part part = PERFTOOLS__PROFILES__PROFILE__INIT;
    part.n_function = 1;
    part.function = &list;
    emit(w, &part);
}

static size_t pack_labels(struct writer *w, const struct snapshot_sample *from) {
    size_t n = 0;
    for (uint32_t i = 0; i < from->n_labels; i++) {
        const struct snapshot_label *label = &from->labels[i];
        if (!label_counts(label))
            continue;
        Perftools__Profiles__Label *l = w->label_list[n] = &w->labels[n];
        n++;
        perftools__profiles__label__init(l);
        l->key = (int64_t)string_id(w, label->key);
        l->str = (int64_t)string_id(w, label->str);
        l->num = label->str ? 0 : label->num;
        l->num_unit = label->str ? 0 : (int64_t)string_id(w, label->unit);
    }
    return n;
}

static void emit_sample(struct writer *w, const struct snapshot_sample *from) {
    Perftools__Profiles__Sample sample = PERFTOOLS__PROFILES__SAMPLE__INIT, *list = &sample;
    for (uint32_t i = 0; i < from->n_locations; i++)
        w->stack[i] = from->locations[i] + (uint64_t)1;
    sample.n_location_id = from->n_locations;
    sample.location_id = w->stack;
    sample.n_value = w->s->n_values;
    sample.value = (int64_t *)from->values;
    sample.n_label = pack_labels(w, from);
    sample.label = w->label_list;
    Part part = PERFTOOLS__PROFILES__PROFILE__INIT;
    part.n_sample = 1;
    part.sample = &list;
    emit(w, &part);
}

static void emit_strings(struct writer *w) {
    Part part = PERFTOOLS__PROFILES__PROFILE__INIT;
    part.n_string_table = w->n_strings;
    part.string_table = (char **)w->strings;
    emit(w, &part);
}

static void emit_all(struct writer *w) {
    const struct snapshot *s = w->s;
    emit_header(w);
    if (s->kind)
        emit_comment(w, w->kind_comment);
    for (uint32_t i = 0; i < s->n_comments; i++)
        emit_comment(w, s->comments[i]);
    for (uint32_t i = 0; i < s->n_mappings; i++)
        emit_mapping(w, i);
    const uint64_t *functions = w->line_functions;
    for (uint32_t i = 0; i < s->n_locations; i++)
        emit_location(w, i, &functions);
    for (uint32_t i = 0; i < w->n_functions; i++)
        emit_function(w, i);
    for (uint32_t i = 0; i < s->n_samples && !w->err; i++)
        emit_sample(w, &s->samples[i]);
    emit_strings(w);
    deflate_some(w, Z_FINISH);
}

static void writer_free(struct writer *w) {
    deflateEnd(&w->z);
    snapshot_done(&w->cleaned);
    index_done(&w->string_index);
    index_done(&w->function_index);
    free(w->strings);
    free(w->functions);
    free(w->line_functions);
    free(w->stack);
    free(w->labels);
    free(w->label_list);
    free(w->lines);
    free(w->line_list);
    free(w);
}

int pprof_write(const struct snapshot *s, int fd, size_t *ret_bytes) {
    if (!references_hold(s))
        return -EINVAL;
    struct writer *w = calloc(1, sizeof *w);
    if (!w)
        return -ENOMEM;
    w->buffer.append = append;
    w->s = s;
    w->fd = fd;
    if (deflateInit2(&w->z, LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        w->err = -ENOMEM;
    if (!w->err)
        collect_header(w);
    if (!w->err)
        collect_lines(w);
    if (!w->err)
        collect_samples(w);
    if (!w->err)
        emit_all(w);
    int err = w->err;
    if (!err && ret_bytes)
        *ret_bytes = w->written;
    writer_free(w);
    return err;
}
