/* Tests proto/pprof_read.c: what the writer wrote comes back, what nobody should write is refused.
 */
#include "proto/pprof.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/rng.h"

static struct snapshot_line lines[] = {
    {.name = "f", .system_name = "_f", .file = "f.c", .line = 3}};
static struct snapshot_mapping mappings[] = {
    {.start = 4096, .limit = 8192, .path = "/bin/x", .build_id = "0f"}};
static struct snapshot_location locations[] = {
    {.address = 5000, .mapping = 0, .n_lines = 1, .lines = lines},
    {.address = 7, .mapping = -1},
};
static const uint32_t stack[] = {1, 0, 1};
static const struct snapshot_label labels[] = {{.key = "thread", .str = "t"},
                                               {.key = "n", .num = -5, .unit = "u"}};
static struct snapshot_sample samples[] = {{.locations = stack,
                                            .n_locations = 3,
                                            .values = {1, -2, 3, 4},
                                            .labels = labels,
                                            .n_labels = 2}};

static struct snapshot example(enum kind_id id) {
    static const char *comments[] = {"hello"};
    const struct kind_info *k = &kind_infos[id];
    struct snapshot s = {
        .kind = k,
        .n_values = k->n_values,
        .period_type = k->period_type,
        .period_unit = k->period_unit,
        .period = 99,
        .time_ns = 12345,
        .drop_frames = "malloc|free",
        .mappings = mappings,
        .n_mappings = 1,
        .locations = locations,
        .n_locations = 2,
        .samples = samples,
        .n_samples = 1,
        .comments = comments,
        .n_comments = 1,
    };
    memcpy(s.values, k->values, sizeof s.values);
    return s;
}

static size_t bytes_of(const struct snapshot *s, unsigned char *to, size_t max) {
    int fd = memfd_create("profile", 0);
    size_t n = 0;
    cr_assert_eq(pprof_write(s, fd, &n), 0);
    cr_assert_lt(n, max);
    cr_assert_eq(pread(fd, to, n, 0), (ssize_t)n);
    close(fd);
    return n;
}

Test(pprof_read, what_was_written_comes_back) {
    static unsigned char bytes[65536];
    struct snapshot s = example(KIND_heap), r;
    const char *why = "";
    size_t n = bytes_of(&s, bytes, sizeof bytes);
    cr_assert_eq(pprof_read(bytes, n, &r, &why), 0, "%s", why);
    cr_assert_eq(r.kind, s.kind);
    cr_assert_eq(r.n_values, 4);
    cr_assert_str_eq(r.values[3].name, "inuse_space");
    cr_assert_str_eq(r.period_type, "space");
    cr_assert_eq(r.period, 99);
    cr_assert_eq(r.time_ns, 12345);
    cr_assert_str_eq(r.drop_frames, "malloc|free");
    cr_assert_eq(r.n_comments, 1, "the comment that names the kind is not shown");
    cr_assert_str_eq(r.comments[0], "hello");
    cr_assert_eq(r.mappings[0].limit, 8192);
    cr_assert_str_eq(r.mappings[0].path, "/bin/x");
    cr_assert_str_eq(r.mappings[0].build_id, "0f");
    cr_assert_str_eq(r.locations[0].lines[0].name, "f");
    cr_assert_str_eq(r.locations[0].lines[0].system_name, "_f");
    cr_assert_eq(r.locations[0].lines[0].line, 3);
    cr_assert_eq(r.locations[1].mapping, -1);
    cr_assert_eq(r.samples[0].n_locations, 3);
    cr_assert_arr_eq(r.samples[0].locations, stack, sizeof stack);
    cr_assert_arr_eq(r.samples[0].values, samples[0].values, sizeof samples[0].values);
    cr_assert_str_eq(r.samples[0].labels[0].str, "t");
    cr_assert_null(r.samples[0].labels[1].str);
    cr_assert_eq(r.samples[0].labels[1].num, -5);
    cr_assert_str_eq(r.samples[0].labels[1].unit, "u");
    snapshot_done(&r);
}

Test(pprof_read, every_kind_is_recognised) {
    static unsigned char bytes[65536];
    for (unsigned id = 0; id < KIND_COUNT; id++) {
        struct snapshot s = example(id), r;
        size_t n = bytes_of(&s, bytes, sizeof bytes);
        cr_assert_eq(pprof_read(bytes, n, &r, NULL), 0);
        cr_assert_eq(r.kind, s.kind, "%s", s.kind->name);
        snapshot_done(&r);
    }
}

Test(pprof_read, without_our_comment_the_default_value_decides) {
    static unsigned char bytes[65536];
    struct snapshot s = example(KIND_heap), r;
    s.kind = NULL;
    s.default_value = "alloc_space";
    size_t n = bytes_of(&s, bytes, sizeof bytes);
    cr_assert_eq(pprof_read(bytes, n, &r, NULL), 0);
    cr_assert_eq(r.kind, &kind_infos[KIND_allocs]);
    snapshot_done(&r);
}

Test(pprof_read, two_gzip_members_are_one_profile) {
    static unsigned char bytes[65536];
    struct snapshot s = example(KIND_cpu), r;
    const char *why = "";
    size_t n = bytes_of(&s, bytes, sizeof bytes);
    memcpy(bytes + n, bytes, n);
    cr_assert_eq(pprof_read(bytes, 2 * n, &r, &why), -EINVAL, "members are joined, so ids repeat");
    cr_assert_str_eq(why, "an id is zero or occurs twice");
}

#define REFUSED(bytes, reason)                                                     \
    do {                                                                           \
        struct snapshot r_;                                                        \
        const char *why_ = "";                                                     \
        cr_assert_eq(pprof_read((bytes), sizeof(bytes) - 1, &r_, &why_), -EINVAL); \
        cr_assert_str_eq(why_, (reason));                                          \
    } while (0)

/* Plain messages by hand: 0x32 0x00 is the empty string, 0x0a 0x00 a sample type. */
Test(pprof_read, malformed_profiles_are_refused_with_a_reason) {
    REFUSED("", "empty");
    REFUSED("hello, world", "not a pprof profile");
    REFUSED("\x0a\x00", "string table does not start with an empty string");
    REFUSED("\x32\x01x", "string table does not start with an empty string");
    REFUSED("\x32\x00", "no sample types");
    REFUSED("\x32\x00\x0a\x00\x0a\x00\x0a\x00\x0a\x00\x0a\x00", "more than four sample types");
    REFUSED("\x32\x00\x0a\x02\x08\x01", "a string index is out of range");
    REFUSED("\x32\x00\x0a\x02\x08\xff", "not a pprof profile");
    REFUSED("\x32\x00\x0a\x00\x12\x00",
            "a sample has more or fewer values than there are sample types");
    REFUSED("\x32\x00\x0a\x00\x12\x06\x0a\x01\x09\x12\x01\x01", "a sample refers to no location");
    REFUSED("\x32\x00\x0a\x00\x22\x04\x08\x01\x10\x07", "a location refers to no mapping");
    REFUSED("\x32\x00\x0a\x00\x22\x06\x08\x01\x22\x02\x08\x05", "a line refers to no function");
    REFUSED("\x32\x00\x0a\x00\x1a\x00", "an id is zero or occurs twice");
    REFUSED("\x1f\x8b\x08", "gzip: cut short");
    REFUSED("\x1f\x8b rubbish", "gzip: damaged");
}

Test(pprof_read, any_prefix_and_any_flipped_byte_is_survived) {
    static unsigned char bytes[65536], copy[65536];
    struct snapshot s = example(KIND_cpu), r;
    size_t n = bytes_of(&s, bytes, sizeof bytes);
    for (size_t cut = 0; cut < n; cut++)
        cr_assert_neq(pprof_read(bytes, cut, &r, NULL), 0);
    struct rng rng = {1};
    for (int i = 0; i < 20000; i++) {
        memcpy(copy, bytes, n);
        copy[rng_below(&rng, n)] ^= (unsigned char)(1 + rng_below(&rng, 255));
        if (pprof_read(copy, n, &r, NULL) == 0)
            snapshot_done(&r);
    }
}
