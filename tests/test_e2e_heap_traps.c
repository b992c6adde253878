/*
 * What has broken other heap profilers, one test each. A host checks for itself that its allocator
 * behaves; here its output is compared with that of a run without the agent, and its profile with
 * what it did. heap=1 takes every call through the slow paths.
 */
#include <unistd.h>

#include "tests/heap_e2e.h"

static const char heap[] = "*-heap-1.pb.gz";

static struct e2e host_within(unsigned timeout_s, const char *env, const char *command) {
    e2e_timeout_s = timeout_s;
    return e2e_same(env, command);
}

static struct e2e host(const char *env, const char *command) {
    return host_within(240, env, command);
}

/* One exact run whose function made and kept blocks of one size. */
static void exactly(const char *command, const char *function, double made, double kept,
                    double bytes) {
    struct e2e r = host("CPROF=heap=1", command);
    char *rows = heap_rows(&r, heap);
    heap_is(rows, function, made, made * bytes, kept, kept * bytes);
    free(rows);
    e2e_done(&r);
}

/* The same output, whatever is sampled; no profile is looked at. */
static void unharmed(const char *command) {
    static const char *const rates[] = {"CPROF=heap=1", "CPROF=heap=512"};
    for (unsigned i = 0; i < 2; i++) {
        struct e2e r = host(rates[i], command);
        e2e_done(&r);
    }
}

Test(heap_traps, realloc_that_fails_leaves_the_block_in_the_profile) {
    exactly("heap_traps realloc_fails 200", "site", 200, 200, 1000);
    unharmed("heap_traps realloc_fails 200");
}

Test(heap_traps, realloc_that_fails_allocates_nothing) {
    struct e2e r = host("CPROF=heap=1", "heap_traps realloc_fails 200");
    struct heap_sums s = heap_of(&r, heap, "resize");
    cr_expect(s.of[ALLOC_OBJECTS] == 0 && s.of[ALLOC_SPACE] == 0);
    e2e_done(&r);
}

Test(heap_traps, realloc_to_zero_frees) {
    exactly("heap_traps realloc_zero 1000", "site", 1000, 0, 100);
}

Test(heap_traps, realloc_of_nothing_allocates) {
    struct e2e r = host("CPROF=heap=1", "heap_traps realloc_zero 1000");
    char *rows = heap_rows(&r, heap);
    heap_is(rows, "resize", 2000, 200 * 1000, 0, 0);
    free(rows);
    e2e_done(&r);
}

Test(heap_traps, aligned_allocation_that_fails_touches_nothing) {
    unharmed("heap_traps aligned_fails 500");
    struct e2e r = host("CPROF=heap=1", "heap_traps aligned_fails 500");
    struct heap_sums s = heap_of(&r, heap, "aligned_fails");
    cr_expect_eq(s.of[ALLOC_OBJECTS], 0, "%.0f blocks that never were", s.of[ALLOC_OBJECTS]);
    e2e_done(&r);
}

Test(heap_traps, calloc_that_wraps_is_refused) { unharmed("heap_traps calloc_overflow 500"); }

Test(heap_traps, calloc_counts_the_product) {
    exactly("heap_traps calloc_overflow 500", "site_calloc", 500, 500, 600);
}

Test(heap_traps, errno_is_kept) { unharmed("heap_traps errno_kept 5000"); }

Test(heap_traps, blocks_lie_where_they_would) { unharmed("heap_traps addresses 20000"); }

Test(heap_traps, constructors_allocate_before_us) { unharmed("early_main early"); }

Test(heap_traps, constructors_blocks_are_freed_by_main) {
    struct e2e r = host("CPROF=heap=1", "early_main early");
    cr_expect_eq(e2e_count(&r, "*-heap-*.pb.gz"), 1);
    e2e_done(&r);
}

/* A library that wraps dlsym, and allocates in there, before and behind us. */
Test(heap_traps, dlsym_that_allocates) {
    static const char *const orders[] = {"before", "after"};
    for (unsigned i = 0; i < 2; i++) {
        char script[128];
        snprintf(script, sizeof script,
                 "heap_preload.sh %s " HOSTS "/libheap_dlsym.so " HOSTS "/heap swap 2 20000",
                 orders[i]);
        struct e2e r = e2e_same_driven("CPROF=heap=1", script);
        struct heap_sums s = heap_of(&r, heap, "swap_one");
        cr_expect(s.of[ALLOC_OBJECTS] == 40000 && s.of[INUSE_OBJECTS] == 0);
        e2e_done(&r);
    }
}

Test(heap_traps, destructors_of_thread_data_allocate_and_free) {
    /* 2 blocks of the thread and 4 of its destructor, of which one stays in the key. */
    struct e2e r = host("CPROF=heap=1", "heap_traps destructors 300");
    struct heap_sums s = heap_of(&r, heap, "site");
    cr_expect(s.of[ALLOC_OBJECTS] == 300 * 6 && s.of[INUSE_OBJECTS] == 0, "%.0f made, %.0f in use",
              s.of[ALLOC_OBJECTS], s.of[INUSE_OBJECTS]);
    e2e_done(&r);
    unharmed("heap_traps destructors 300");
}

Test(heap_traps, threads_leave_no_memory_behind) {
    const char *command = heap_long() ? "heap_traps lives 1000000" : "heap_traps lives 10000";
    struct e2e r = host("CPROF=heap=4k", command);
    double pages = e2e_number(&r, "grown_pages");
    cr_expect(pages < 512, "%.0f pages more", pages);
    e2e_done(&r);
}

/* A fork takes 10 ms of CPU here, and the storm has the other processors. */
Test(heap_traps, fork_in_a_storm) {
    struct e2e r =
        heap_long() ? host_within(3000, "CPROF=heap=512 CPROF_EXIT=0", "heap_traps forks 4 10000")
                    : host("CPROF=heap=512 CPROF_EXIT=0", "heap_traps forks 4 400");
    e2e_done(&r);
    r = host("CPROF=heap=1 CPROF_EXIT=0", "heap_traps forks 3 100");
    e2e_done(&r);
}

Test(heap_traps, child_writes_what_it_allocated) {
    struct e2e r = host("CPROF=heap=1", "heap_traps heirs 500");
    char pattern[64];
    snprintf(pattern, sizeof pattern, "*-%.0f-heap-1.pb.gz", e2e_number(&r, "child"));
    char *rows = heap_rows(&r, pattern);
    heap_is(rows, "other_site", 500, 500 * 500, 500, 500 * 500);
    heap_is(rows, "site", 0, 0, 0, 0);
    free(rows);
    snprintf(pattern, sizeof pattern, "*-%.0f-heap-1.pb.gz", e2e_number(&r, "parent"));
    rows = heap_rows(&r, pattern);
    heap_is(rows, "site", 500, 500 * 1000, 500, 500 * 1000);
    heap_is(rows, "other_site", 0, 0, 0, 0);
    free(rows);
    e2e_done(&r);
}

Test(heap_traps, vfork_and_spawn_in_a_storm) {
    struct e2e r = host("CPROF=heap=1", "heap_traps vforks 3 100");
    e2e_done(&r);
    r = host("CPROF=heap=512",
             heap_long() ? "heap_traps vforks 3 5000" : "heap_traps vforks 3 300");
    e2e_done(&r);
}

Test(heap_traps, dumps_in_a_storm_of_eight_threads) {
    struct e2e r = host("CPROF=heap=4k", "heap_traps dumps 8 12");
    cr_expect(e2e_count(&r, "*-heap-*.pb.gz") >= 12);
    e2e_done(&r);
    r = host("CPROF=heap=1", "heap_traps dumps 4 3");
    cr_expect(e2e_count(&r, "*-heap-*.pb.gz") >= 3);
    e2e_done(&r);
}

Test(heap_traps, signals_faster_than_dumps) {
    struct e2e r = host("CPROF=heap=64k", "heap_traps burst 8 300");
    cr_expect(e2e_count(&r, "*-heap-*.pb.gz") >= 2);
    e2e_done(&r);
}

/* What the library frees goes past us. That is noticed when its address comes back. */
Test(heap_traps, missed_frees_of_a_deeply_bound_library_are_noticed) {
    double n = 1000;
    struct e2e r = host("CPROF=heap=1", "heap_traps deepbind 1000");
    char *rows = heap_rows(&r, heap);
    heap_is(rows, "other_site", n, n * 100, n, n * 100);
    struct heap_sums s = heap_find(rows, "site");
    cr_expect(s.of[ALLOC_OBJECTS] == n && s.of[INUSE_OBJECTS] <= 0.02 * n, "%.0f still in use",
              s.of[INUSE_OBJECTS]);
    char *said = e2e_text(&r, heap, "--comment missed");
    cr_expect(strpbrk(said, "123456789"), "missed frees: %s", said);
    free(said);
    free(rows);
    e2e_done(&r);
}

Test(heap_traps, library_that_comes_and_goes) {
    unharmed("heap_traps comes_and_goes 200");
    struct e2e r = host("CPROF=heap=1", "heap_traps comes_and_goes 200");
    /* A stack through a library that was not known yet is cut, and says so. */
    char *rows = heap_rows(&r, heap);
    struct heap_sums s = heap_find(rows, "plugin_make"), cut = heap_find(rows, "[truncated]");
    cr_expect(s.of[ALLOC_OBJECTS] > 0 && s.of[ALLOC_OBJECTS] + cut.of[ALLOC_OBJECTS] >= 200 &&
                  s.of[INUSE_OBJECTS] == 0,
              "%.0f made, %.0f in use\n%s", s.of[ALLOC_OBJECTS], s.of[INUSE_OBJECTS], rows);
    free(rows);
    e2e_done(&r);
}

Test(heap_traps, c_program_that_loads_cxx_out_of_sight) {
    struct e2e r = host("CPROF=heap=1", "heap_traps cxx 1000");
    /* A stack through a library that was not known yet is cut; no sum may suffer. leak_array and
     * no_leak make 1000 blocks of 1000 bytes each, and only the first keeps them. */
    char *rows = heap_rows(&r, heap);
    struct heap_sums leak = heap_find(rows, "leak_array"), none = heap_find(rows, "no_leak");
    cr_expect(leak.of[ALLOC_OBJECTS] > 0 && leak.of[INUSE_OBJECTS] == leak.of[ALLOC_OBJECTS]);
    cr_expect(none.of[ALLOC_OBJECTS] > 0 && none.of[INUSE_OBJECTS] == 0);
    free(rows);
    cr_expect_eq(heap_in_use_of_size(&r, heap, 1000), 1000 * 1000);
    e2e_done(&r);
    unharmed("heap_traps cxx 300");
}

Test(heap_traps, libc_allocates_for_itself) { unharmed("heap_traps lines 200"); }

Test(heap_traps, handlers_at_exit_allocate_and_free) { unharmed("heap_traps late"); }

/* Nothing of it can be seen from outside: that must be said, and nothing may break. */
Test(heap_traps, program_with_its_own_malloc) {
    struct e2e plain = e2e_plain("", "heap_own"), r = e2e_run("CPROF=heap=4k", "heap_own");
    cr_expect_eq(r.status, 0);
    cr_expect_str_eq(r.out, plain.out);
    cr_expect(strstr(r.log, "malloc") && strstr(r.log, "heap"), "log: %s", r.log);
    e2e_done(&plain);
    e2e_done(&r);
}

Test(heap_traps, program_with_a_prefixed_allocator) {
    struct e2e plain = e2e_plain("", "heap_prefixed"), r = e2e_run("CPROF=heap=1", "heap_prefixed");
    cr_expect_eq(r.status, 0);
    cr_expect_str_eq(r.out, plain.out);
    char *comments = e2e_text(&r, heap, "--comment je_malloc");
    cr_expect(comments[0] || strstr(r.log, "je_malloc"), "nothing is said about je_malloc: %s",
              r.log);
    free(comments);
    e2e_done(&plain);
    e2e_done(&r);
}

/* The sanitizer's runtime replaces malloc and checks every block: we stand aside. */
Test(heap_traps, program_under_address_sanitizer) {
    e2e_need(access(HOSTS "/heap_asan", X_OK) == 0, "AddressSanitizer");
    struct e2e plain = e2e_plain("", "heap_asan swap 2 2000");
    struct e2e r =
        e2e_run("CPROF=heap=1 ASAN_OPTIONS=verify_asan_link_order=0", "heap_asan swap 2 2000");
    cr_expect(r.status == 0 && plain.status == 0, "status %#x: %s%s", r.status, r.err, r.log);
    cr_expect_str_eq(r.out, plain.out);
    cr_expect_str_eq(r.err, plain.err, "%s", r.err);
    e2e_done(&plain);
    e2e_done(&r);
}

Test(heap_traps, program_without_a_dynamic_loader) {
    struct e2e r = host("CPROF=heap=1", "bare");
    cr_expect_eq(r.n_profiles, 0);
    e2e_done(&r);
}

Test(heap_traps, switched_off_is_off) {
    struct e2e r = host("CPROF=off", "heap swap 2 20000");
    cr_expect_eq(r.n_profiles, 0);
    e2e_done(&r);
    r = host("CPROF=cpu", "heap swap 2 20000");
    cr_expect_eq(e2e_count(&r, "*-heap-*"), 0);
    e2e_done(&r);
}

static const char compiled[] =
    "malloc as compiled\ncalloc as compiled\nrealloc as compiled\nfree as compiled\n";
/* Builds for a debugger, and machines other than x86-64, leave them as they are. */
static const char *const written =
    DOORS_ARE_WRITTEN ? "malloc written\ncalloc written\nrealloc written\nfree written\n"
                      : compiled;
static const char *const lead_on =
    DOORS_ARE_WRITTEN ? "malloc leads on\ncalloc leads on\nrealloc leads on\nfree leads on\n"
                      : compiled;

/* Its blocks are all there, whichever doors they came through. */
static void counted_by_doors(const char *command, const char *doors) {
    struct e2e r = e2e_run("CPROF=heap=1", command);
    cr_expect_eq(r.status, 0);
    cr_expect_str_eq(r.out, doors);
    cr_expect_str_empty(r.err);
    char *rows = heap_rows(&r, heap);
    heap_is(rows, "site", 2500, 1000 * 100 + 1000 * 100 + 500 * 50, 1000, 1000 * 100);
    free(rows);
    e2e_done(&r);
}

Test(heap_traps, doors_are_written_when_all_is_known) { counted_by_doors("heap_doors", written); }

/* systemd's MemoryDenyWriteExecute=, SELinux: no new executable memory. */
Test(heap_traps, doors_that_may_not_be_written_stay_as_compiled) {
    counted_by_doors("heap_doors forbidden", compiled);
}

Test(heap_traps, doors_that_a_filter_forbids_stay_as_compiled) {
    counted_by_doors("heap_doors filtered", compiled);
}

/* The agent's own thread comes after them. */
Test(heap_traps, doors_are_written_before_there_is_a_thread_of_ours) {
    struct e2e r = e2e_run("CPROF=heap CPROF_EVERY=1s", "heap_doors");
    cr_expect_str_eq(r.out, written);
    e2e_done(&r);
}

Test(heap_traps, doors_of_an_agent_that_is_off_lead_on) {
    struct e2e r = e2e_run("CPROF=off", "heap_doors");
    cr_expect_eq(r.status, 0);
    cr_expect_str_eq(r.out, lead_on);
    cr_expect_eq(r.n_profiles, 0);
    e2e_done(&r);
}
