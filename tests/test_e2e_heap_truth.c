/*
 * The heap profile against programs that know what they allocated. Statistical tests compare with
 * the bounds of heap_e2e.h; those of many sums fail when two runs agree that the same one is off in
 * the same direction. Exact ones (heap=1) compare to the byte.
 */
#include "tests/heap_e2e.h"

static const char heap[] = "*-heap-1.pb.gz";

static struct e2e host(const char *env, const char *format, double a, double b) {
    char command[128];
    snprintf(command, sizeof command, format, a, b);
    e2e_timeout_s = 240;
    return e2e_same(env, command);
}

struct run {
    const char *env, *format;
    double a, b;
    double rate;
    unsigned n_sites;
};

enum { MOST_SITES = 8 };

static double truth_of(const struct e2e *r, const char *what, unsigned i) {
    char name[32];
    snprintf(name, sizeof name, "%s%u", what, i);
    return e2e_number(r, name);
}

static void deviations(const struct run *run, double off[MOST_SITES]) {
    struct e2e r = host(run->env, run->format, run->a, run->b);
    char *rows = heap_rows(&r, heap);
    for (unsigned i = 0; i < run->n_sites; i++) {
        char site[16];
        snprintf(site, sizeof site, "site%u", i);
        struct heap_sums s = heap_find(rows, site);
        off[i] =
            heap_deviation(&s, (struct heap_truth){truth_of(&r, "n", i), truth_of(&r, "kept", i),
                                                   truth_of(&r, "size", i), run->rate});
        printf("%s: site%u is off by %+.1f errors\n", run->format, i, off[i]);
    }
    free(rows);
    e2e_done(&r);
}

/* Go's rule against flakes: what is wrong is wrong twice, in the same direction. */
static void unbiased(struct run run) {
    double first[MOST_SITES], second[MOST_SITES];
    deviations(&run, first);
    bool fine = true;
    for (unsigned i = 0; i < run.n_sites; i++)
        fine &= fabs(first[i]) <= 4;
    if (fine)
        return;
    deviations(&run, second);
    for (unsigned i = 0; i < run.n_sites; i++)
        cr_expect(fabs(first[i]) <= 4 || fabs(second[i]) <= 4 || (first[i] > 0) != (second[i] > 0),
                  "%s: site%u is off by %.1f and %.1f errors", run.format, i, first[i], second[i]);
}

Test(heap_truth, sizes_from_a_thousandth_of_the_rate_to_eight_times) {
    double rate = 16384;
    unbiased((struct run){"CPROF=heap=16k", "heap sizes %.0f %.0f", rate, heap_long() ? 10 : 1,
                          rate, 8});
}

Test(heap_truth, sizes_at_an_odd_rate) {
    unbiased((struct run){"CPROF=heap=50021", "heap sizes %.0f 0.2", 50021, 0, 50021, 8});
}

Test(heap_truth, large_and_small_in_turn) {
    unbiased((struct run){"CPROF=heap=16k", "heap interleaved %.0f", heap_long() ? 100000 : 20000,
                          0, 16384, 6});
}

Test(heap_truth, threads_that_allocate_once) {
    unbiased((struct run){"CPROF=heap=64k", "heap mayflies %.0f", heap_long() ? 100000 : 20000, 0,
                          65536, 1});
}

Test(heap_truth, in_use_after_random_frees) {
    unbiased((struct run){"CPROF=heap=4k", "heap random_frees %.0f", 400000, 0, 4096, 4});
}

/* 16 bytes x 32 M and 32 MB x 16 at 512k, all of it a sixteenth as much. */
Test(heap_truth, small_and_large_blocks_of_one_stack) {
    double n = heap_long() ? 16 << 20 : 2 << 20, large = 2 << 20, rate = 32768;
    struct e2e r = host("CPROF=heap=32k", "heap one_stack %.0f %.0f", n, large);
    struct heap_sums s = heap_of(&r, heap, "site0");
    double objects = n + 16, most = heap_bound(n, 16, rate);
    for (int i = ALLOC_OBJECTS; i <= INUSE_OBJECTS; i += INUSE_OBJECTS - ALLOC_OBJECTS) {
        cr_expect(fabs(s.of[i] - objects) <= most + 1, "%.0f blocks of %.0f, +- %.0f", s.of[i],
                  objects, most);
        double bytes = n * 16 + 16 * large;
        cr_expect(fabs(s.of[i + 1] - bytes) <= 16 * most + 1, "%.0f bytes of %.0f, +- %.0f",
                  s.of[i + 1], bytes, 16 * most);
    }
    char *sizes = e2e_text(&r, heap, "--by bytes");
    cr_expect(strstr(sizes, " 16\n") && strstr(sizes, " 2097152\n"), "label bytes:\n%s", sizes);
    free(sizes);
    e2e_done(&r);
}

Test(heap_truth, allocs_is_the_same_with_another_main_value) {
    struct e2e r = host("CPROF=allocs=16k", "heap interleaved %.0f", 2000, 0);
    char *json = e2e_text(&r, "*-allocs-1.pb.gz", "--json");
    cr_expect(strstr(json, "\"default_sample_type\": \"alloc_space\""));
    free(json);
    struct heap_sums s = heap_of(&r, "*-allocs-1.pb.gz", "site0");
    double off = heap_deviation(&s, (struct heap_truth){2000, 0, 64 << 10, 16384});
    cr_expect(fabs(off) <= 5, "%.1f errors", off);
    e2e_done(&r);
}

Test(heap_truth, all_freed_leaves_nothing_in_use_whoever_frees) {
    double n = heap_long() ? 1000000 : 100000;
    for (int threads = 1; threads <= 4; threads *= 2) {
        struct e2e r = host("CPROF=heap=1", "heap swap %.0f %.0f", threads, n);
        struct heap_sums s = heap_of(&r, heap, "swap_one");
        cr_expect_eq(s.of[ALLOC_OBJECTS], threads * n, "%d threads: %.0f of %.0f", threads,
                     s.of[ALLOC_OBJECTS], threads * n);
        cr_expect_eq(s.of[INUSE_OBJECTS], 0, "%.0f in use", s.of[INUSE_OBJECTS]);
        cr_expect_eq(s.of[INUSE_SPACE], 0, "%.0f bytes in use", s.of[INUSE_SPACE]);
        e2e_done(&r);
    }
}

Test(heap_truth, all_freed_leaves_nothing_in_use_at_a_rate) {
    struct e2e r = host("CPROF=heap=2k", "heap swap %.0f %.0f", 4, heap_long() ? 2000000 : 200000);
    struct heap_sums s = heap_of(&r, heap, "swap_one");
    cr_expect(s.of[ALLOC_OBJECTS] > 0 && s.of[INUSE_OBJECTS] == 0 && s.of[INUSE_SPACE] == 0,
              "%.0f blocks, %.0f bytes in use", s.of[INUSE_OBJECTS], s.of[INUSE_SPACE]);
    e2e_done(&r);
}

Test(heap_truth, realloc_is_a_free_and_an_allocation) {
    double n = 1000;
    struct e2e r = host("CPROF=heap=1", "heap grow %.0f", n, 0);
    char *rows = heap_rows(&r, heap);
    heap_is(rows, "grow", n, n * (n + 1) / 2, 1, n);
    free(rows);
    e2e_done(&r);
}

/* The new owner answers for a block that moved, or grew where it was. */
Test(heap_truth, realloc_passes_a_block_to_another_site) {
    double n = 20000;
    struct e2e r = host("CPROF=heap=4k", "heap move %.0f", n, 0);
    struct heap_sums born = heap_of(&r, heap, "site0"), moved = heap_of(&r, heap, "grow");
    double off_born = heap_deviation(&born, (struct heap_truth){n, 0, 100, 4096});
    double off_moved = heap_deviation(&moved, (struct heap_truth){n, n, 3000, 4096});
    cr_expect(fabs(off_born) <= 5 && fabs(off_moved) <= 5, "%.1f, %.1f errors", off_born,
              off_moved);
    cr_expect(born.of[INUSE_OBJECTS] == 0, "%.0f still in use", born.of[INUSE_OBJECTS]);
    e2e_done(&r);
}

Test(heap_truth, blocks_of_no_bytes_are_counted) {
    struct e2e r = host("CPROF=heap=1", "heap zero %.0f", 1000, 0);
    char *rows = heap_rows(&r, heap);
    heap_is(rows, "site0", 1000, 0, 1000, 0);
    free(rows);
    e2e_done(&r);
}

Test(heap_truth, blocks_of_no_bytes_are_sampled) {
    double n = 2000000;
    struct e2e r = host("CPROF=heap=1k", "heap zero %.0f", n, 0);
    struct heap_sums s = heap_of(&r, heap, "site0");
    double most = heap_bound(n, 0, 1024);
    cr_expect(fabs(s.of[ALLOC_OBJECTS] - n) <= most + 1, "%.0f of %.0f, +- %.0f",
              s.of[ALLOC_OBJECTS], n, most);
    e2e_done(&r);
}

/* Every block is larger than the rate: the agent samples fewer of them, and says so. The error is
 * at most that of the coarsest rate it names. */
Test(heap_truth, loop_of_large_blocks_is_unbiased) {
    double n = heap_long() ? 40000000 : 4000000, size = 1 << 20;
    struct e2e r = host("CPROF=heap=512k", "heap large %.0f %.0f", n, size);
    struct heap_sums s = heap_of(&r, heap, "site0");
    char *said = e2e_text(&r, heap, "--comment 'rate adapted'"), *in = strstr(said, "sample in ");
    cr_assert(in, "nothing is said about the rate: %s", said);
    double most = heap_bound(n, size, strtod(in + strlen("sample in "), NULL));
    free(said);
    cr_expect(fabs(s.of[ALLOC_OBJECTS] - n) <= most + 1, "%.0f of %.0f, +- %.0f",
              s.of[ALLOC_OBJECTS], n, most);
    cr_expect(fabs(s.of[ALLOC_SPACE] / size - n) <= most + 1);
    cr_expect_eq(s.of[INUSE_OBJECTS], 0);
    e2e_done(&r);
}

Test(heap_truth, peak_is_kept) {
    double n = 5000;
    struct e2e r = host("CPROF=heap=4k,heappeak", "heap peak %.0f", n, 0);
    struct heap_sums now = heap_of(&r, heap, "site0"), now1 = heap_of(&r, heap, "site1");
    struct heap_sums then = heap_of(&r, "*-heappeak-1.pb.gz", "site0");
    cr_expect(now.of[INUSE_OBJECTS] == 0 && now1.of[INUSE_OBJECTS] > 0);
    /* The peak is taken in steps of a tenth at most. */
    double bytes = n * 10000, most = 10000 * heap_bound(n, 10000, 4096);
    cr_expect(then.of[INUSE_SPACE] >= 0.9 * bytes - most && then.of[INUSE_SPACE] <= bytes + most,
              "%.0f of %.0f, +- %.0f", then.of[INUSE_SPACE], bytes, most);
    e2e_done(&r);
}

Test(heap_truth, age_tells_old_blocks_from_new_ones) {
    struct e2e r = host("CPROF=heap=1/age", "heap ages", 0, 0);
    char *json = e2e_text(&r, heap, "--json"), *ages = e2e_text(&r, heap, "--by age");
    cr_expect(strstr(json, "\"age\""));
    unsigned n_ages = 0;
    for (char *p = ages; (p = strchr(p, '\n')); p++)
        n_ages++;
    cr_expect(n_ages >= 2, "by age:\n%s", ages);
    free(json);
    free(ages);
    e2e_done(&r);
}

Test(heap_truth, comments_say_rate_provider_and_totals) {
    struct e2e r = host("CPROF=heap=1k", "heap interleaved %.0f", 100, 0);
    char *all = e2e_text(&r, heap, "--comment ''");
    cr_expect(strstr(all, "libc.so.6"), "the provider is not in:\n%s", all);
    cr_expect(strstr(all, "1024") || strstr(all, "heap=1k"), "the rate is not in:\n%s", all);
    cr_expect(strstr(all, "rss"), "RSS is not in:\n%s", all);
    free(all);
    e2e_done(&r);
}
