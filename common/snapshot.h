#pragma once
/*
 * The narrow waist: a profile at rest. agent/ freezes its tables into one, symbols/ fills in names,
 * proto/ turns it into bytes and back, tools/ show it. Nothing here knows how a sample was taken.
 *
 * Everything a snapshot points to belongs to its pool of memory and dies with snapshot_done().
 * Its memory comes from malloc, which for the agent is the agent's own arena (design D2).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/kinds.h"

struct snapshot_mapping {
    uint64_t start, limit, offset; /* as /proc/self/maps shows the text segment */
    const char *path;              /* file, "[vdso]", "[anon]" */
    char build_id[64 + 1];         /* lower-case hex, empty when there is none */
    uint64_t dev, inode;           /* of the file when it was mapped; 0 when unknown */
    bool has_names, has_files, has_lines, has_inlines;
};

struct snapshot_line {
    const char *name;        /* for people; NULL when unknown */
    const char *system_name; /* as the linker knows it; NULL: same as name */
    const char *file;        /* NULL when unknown */
    int64_t line;            /* 0 when unknown */
    int64_t start_line;
};

struct snapshot_location {
    uint64_t address; /* callers: return address - 1; 0 for a frame that is not code */
    int32_t mapping;  /* index into mappings, or -1 */
    uint32_t n_lines; /* innermost inlined call first */
    struct snapshot_line *lines;
};

struct snapshot_label {
    const char *key;
    const char *str; /* NULL: a number */
    int64_t num;
    const char *unit; /* of num, NULL for none */
};

struct snapshot_sample {
    const uint32_t *locations; /* indexes into locations, leaf first */
    uint32_t n_locations;
    uint32_t n_labels;
    const struct snapshot_label *labels;
    int64_t values[KIND_MAX_VALUES]; /* already scaled */
};

struct snapshot {
    const struct kind_info *kind; /* NULL for a decoded profile of a type we do not know */
    unsigned n_values;
    struct kind_value values[KIND_MAX_VALUES];
    const char *period_type, *period_unit;
    int64_t period;
    const char *default_value; /* NULL: the last one */
    int64_t time_ns;           /* UTC, when the window began (windowed) or the profile was taken */
    int64_t duration_ns;       /* 0 unless windowed */
    const char *drop_frames;   /* regular expression or NULL */
    const char *doc_url;       /* or NULL */

    struct snapshot_mapping *mappings; /* [0] is the main binary */
    uint32_t n_mappings;
    struct snapshot_location *locations;
    uint32_t n_locations;
    struct snapshot_sample *samples;
    uint32_t n_samples;
    const char **comments;
    uint32_t n_comments;

    struct snapshot_block *blocks; /* memory behind all of the above */
};

/* Zeroed memory that lives as long as the snapshot; NULL when there is none. */
void *snapshot_alloc(struct snapshot *s, size_t n);
/* A copy of n bytes of text, made valid UTF-8 (bad bytes become '?'), NUL-terminated; NULL without
 * memory. */
const char *snapshot_text(struct snapshot *s, const char *from, size_t n);
/* Appends a comment (copied). Lines that start with '#' are for machines: pprof does not print
 * them. */
void snapshot_comment(struct snapshot *s, const char *text);
/* Appends "#key=n". */
void snapshot_comment_count(struct snapshot *s, const char *key, uint64_t n);
/* Frees everything; *s is a valid empty snapshot afterwards. */
void snapshot_done(struct snapshot *s);
