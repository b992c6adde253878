#pragma once
/*
 * The profile types, in one table. A new type is agent/kind_x.c plus one row here.
 *
 *   KIND(name, rate unit, default rate, on by default, at exit, windowed, period type, period unit,
 *        main value, implementation, number of values, {value name, unit}...)
 *
 * rate unit: how the number behind "name=" in CPROF reads and is stored: RATE_HZ (per second),
 * RATE_BYTES, RATE_NS, or RATE_NONE. windowed: a file covers the time since the previous file of
 * its kind and carries a duration (no other profile may: Parca files it as another type). Values
 * stand in the order of the file, the main value last. implementation: BUILT(its struct kind in
 * agent/), or NOT_BUILT; both are for who expands the table to define (agent/kind.c).
 */
#include <stdbool.h>
#include <stdint.h>

enum rate_unit { RATE_NONE, RATE_HZ, RATE_BYTES, RATE_NS };

/* clang-format off */
#define KIND_SPACE 4, {"alloc_objects", "count"}, {"alloc_space", "bytes"}, {"inuse_objects", "count"}, {"inuse_space", "bytes"}
#define KIND_DELAY 2, {"contentions", "count"}, {"delay", "nanoseconds"}

#define KINDS(KIND)                                                                                                        \
    KIND(cpu,          RATE_HZ,    100,       true,  true,  true,  "cpu",          "nanoseconds", "cpu",          BUILT(kind_cpu), 2, {"samples", "count"}, {"cpu", "nanoseconds"}) \
    KIND(heap,         RATE_BYTES, 512 << 10, true,  true,  false, "space",        "bytes",       "inuse_space",  BUILT(kind_heap), KIND_SPACE) \
    KIND(allocs,       RATE_BYTES, 512 << 10, false, true,  false, "space",        "bytes",       "alloc_space",  BUILT(kind_allocs), KIND_SPACE) \
    KIND(heappeak,     RATE_BYTES, 512 << 10, false, true,  false, "space",        "bytes",       "inuse_space",  BUILT(kind_heappeak), 2, {"inuse_objects", "count"}, {"inuse_space", "bytes"}) \
    KIND(mutex,        RATE_NS,    100000,    true,  true,  false, "contentions",  "count",       "delay",        BUILT(kind_mutex), KIND_DELAY) \
    KIND(block,        RATE_NS,    100000,    true,  true,  false, "contentions",  "count",       "delay",        BUILT(kind_block), KIND_DELAY) \
    KIND(threads,      RATE_NONE,  0,         true,  false, false, "threads",      "count",       "threads",      NOT_BUILT, 1, {"threads", "count"}) \
    KIND(threadcreate, RATE_NONE,  0,         false, true,  false, "threadcreate", "count",       "threadcreate", NOT_BUILT, 1, {"threadcreate", "count"}) \
    KIND(wall,         RATE_HZ,    20,        false, true,  true,  "wall",         "nanoseconds", "wall",         NOT_BUILT, 2, {"samples", "count"}, {"wall", "nanoseconds"})
/* clang-format on */

#define KIND(name, ...) KIND_##name,
enum kind_id { KINDS(KIND) KIND_COUNT };
#undef KIND

enum { KIND_MAX_VALUES = 4 };

struct kind_value {
    const char *name;
    const char *unit;
};

struct kind_info {
    const char *name;
    enum rate_unit unit;
    uint64_t default_rate;
    bool on; /* when CPROF is not set */
    bool at_exit;
    bool windowed;
    const char *period_type;
    const char *period_unit;
    const char *main_value;
    unsigned n_values;
    struct kind_value values[KIND_MAX_VALUES];
};

/* KIND_COUNT rows in table order. */
extern const struct kind_info kind_infos[KIND_COUNT];
/* The row of that name (n bytes long), or NULL. */
const struct kind_info *kind_find(const char *name, unsigned n);
static inline enum kind_id kind_id(const struct kind_info *k) {
    return (enum kind_id)(k - kind_infos);
}
