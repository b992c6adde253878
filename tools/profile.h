#pragma once
/*
 * Profiles for people: one or more files of one type, read, and walked sample by sample as function
 * names. Names, not addresses, are what several files of several processes have in common.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/snapshot.h"

struct profile {
    struct snapshot *parts; /* one per file */
    const char **paths;
    unsigned n_parts;
    unsigned value;      /* index of the value that is looked at */
    int64_t total;       /* of that value, over all samples */
    int64_t duration_ns; /* added up over the files; 0 when not windowed */
};

/*
 * Reads n files. value_name NULL: the main value of the file. 0 or -1 after a message on standard
 * error in the name of verb; on failure *ret_profile is not written.
 */
int profile_load(struct profile *ret_profile, const char *verb, char *const *paths, unsigned n,
                 const char *value_name);
void profile_done(struct profile *p);

/* What the value counts: "nanoseconds", "bytes", "count". */
static inline const char *profile_unit(const struct profile *p) {
    return p->parts[0].values[p->value].unit;
}

/* The frames of a sample as names, leaf first, inlined calls included, drop_frames obeyed. */
struct frames {
    const char **names;
    uint32_t n, cap;
};

typedef void profile_visit(void *arg, const struct frames *stack, int64_t value);
/* Calls visit for every sample of every file whose value is not zero. 0 or -ENOMEM. */
int profile_walk(const struct profile *p, profile_visit *visit, void *arg);

/* Prints the lines above a table: files, type, time, duration, total, comments. */
void profile_header(const struct profile *p);
/* "2.50s", "10ms", "1.50MB", "42" into buf (at least 32 bytes); returns buf. */
char *profile_value(char *buf, size_t n, const struct profile *p, int64_t value);
/* value as a share of the total, in per cent; 0 of an empty profile. */
double profile_percent(const struct profile *p, int64_t value);
