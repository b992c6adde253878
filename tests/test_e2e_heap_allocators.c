/*
 * Programs on other allocators. Whoever stands behind us, or is linked with the program, is the
 * provider, and the profile is exact (heap=1); who stands before us takes the program's calls
 * without our knowledge: then the program runs as without us, and that it is so is said. Output is
 * always that of a run without the agent.
 */
#include <unistd.h>

#include "tests/heap_e2e.h"

static const char heap[] = "*-heap-1.pb.gz";

/* Debian's packages libjemalloc2, libtcmalloc-minimal4, libgoogle-perftools4, libmimalloc2.0. */
static const char *const libraries[] = {"libjemalloc.so.2", "libtcmalloc_minimal.so.4",
                                        "libtcmalloc.so.4", "libmimalloc.so.2"};
static const char *const linked[] = {"heap_family_jemalloc", "heap_family_tcmalloc_minimal",
                                     "heap_family_tcmalloc", "heap_family_mimalloc"};

static struct e2e preloaded(const char *order, unsigned library, const char *command) {
    char script[512];
    int status;
    char *path = e2e_shell(&status, "ls /usr/lib/*/%s 2>/dev/null | head -n 1", libraries[library]);
    path[strcspn(path, "\n")] = '\0';
    e2e_need(path[0], libraries[library]);
    e2e_timeout_s = 240;
    snprintf(script, sizeof script, "heap_preload.sh %s %s " HOSTS "/%s", order, path, command);
    struct e2e r = e2e_same_driven("CPROF=heap=1", script);
    free(path);
    return r;
}

/* All sites of heap_family made n blocks of 640 bytes and kept half of them. */
static void family_is_exact(const struct e2e *r, double n) {
    static const char *const sites[] = {"by_malloc",       "by_calloc",         "by_realloc",
                                        "by_reallocarray", "by_posix_memalign", "by_aligned_alloc",
                                        "by_memalign",     "by_valloc"};
    char *rows = heap_rows(r, heap);
    for (unsigned i = 0; i < sizeof sites / sizeof *sites; i++)
        heap_is(rows, sites[i], n, n * 640, n / 2, n / 2 * 640);
    heap_is(rows, "by_growth", n, n * 640, 0, 0);
    free(rows);
}

static void provider_is(const struct e2e *r, const char *library) {
    char *comments = e2e_text(r, heap, "--comment ''");
    cr_expect(strstr(comments, library), "%s is not in:\n%s", library, comments);
    free(comments);
}

static void cxx_is_exact(const struct e2e *r, double n) {
    static const char *const sites[] = {
        "by_new",
        "by_new_array",
        "by_new_nothrow",
        "by_new_array_nothrow",
        "by_new_aligned",
        "by_new_array_aligned",
        "by_new_aligned_nothrow",
        "by_new_array_aligned_nothrow",
        "by_malloc",
    };
    char *rows = heap_rows(r, heap);
    for (unsigned i = 0; i < sizeof sites / sizeof *sites; i++) {
        struct heap_sums s = heap_find(rows, sites[i]);
        cr_expect(s.of[ALLOC_OBJECTS] == n && s.of[INUSE_OBJECTS] == n / 2,
                  "%s: %.0f made, %.0f in use, not %.0f and %.0f", sites[i], s.of[ALLOC_OBJECTS],
                  s.of[INUSE_OBJECTS], n, n / 2);
        /* libstdc++ rounds what it asks for with an alignment up to a multiple of it. */
        double bytes = s.of[ALLOC_SPACE] / n;
        cr_expect(bytes == 400 || bytes == 512, "%s: blocks of %.1f bytes", sites[i], bytes);
    }
    struct heap_sums s = heap_find(rows, "containers");
    cr_expect(s.of[ALLOC_OBJECTS] > 20 * n && s.of[INUSE_OBJECTS] == 0, "containers: %.0f, %.0f",
              s.of[ALLOC_OBJECTS], s.of[INUSE_OBJECTS]);
    free(rows);
}

Test(heap_allocators, glibc) {
    struct e2e r = e2e_same("CPROF=heap=1", "heap_family 1000 pvalloc");
    family_is_exact(&r, 1000);
    provider_is(&r, "libc.so.6");
    e2e_done(&r);
}

Test(heap_allocators, glibc_cxx) {
    struct e2e r = e2e_same("CPROF=heap=1", "heap_cxx 1000");
    cxx_is_exact(&r, 1000);
    e2e_done(&r);
}

static void behind(unsigned library) {
    struct e2e r = preloaded("after", library, "heap_family 1000");
    family_is_exact(&r, 1000);
    provider_is(&r, libraries[library]);
    e2e_done(&r);
    r = preloaded("after", library, "heap_cxx 1000");
    cxx_is_exact(&r, 1000);
    e2e_done(&r);
    r = preloaded("after", library, "heap swap 3 20000");
    struct heap_sums s = heap_of(&r, heap, "swap_one");
    cr_expect(s.of[ALLOC_OBJECTS] == 60000 && s.of[INUSE_OBJECTS] == 0, "%.0f made, %.0f in use",
              s.of[ALLOC_OBJECTS], s.of[INUSE_OBJECTS]);
    e2e_done(&r);
}

Test(heap_allocators, jemalloc_behind_us) { behind(0); }
Test(heap_allocators, tcmalloc_minimal_behind_us) { behind(1); }
Test(heap_allocators, tcmalloc_behind_us) { behind(2); }
Test(heap_allocators, mimalloc_behind_us) { behind(3); }

/* It took the program's calls: said on stderr or in a profile, and no half profile is shown as one.
 */
static void in_front(unsigned library) {
    static const char *const commands[] = {"heap_family 1000", "heap_cxx 1000"};
    for (unsigned i = 0; i < 2; i++) {
        struct e2e r = preloaded("before", library, commands[i]);
        cr_expect(strstr(r.log, libraries[library]), "nothing said about %s: %s",
                  libraries[library], r.log);
        cr_expect_eq(e2e_count(&r, "*-heap-*.pb.gz"), 0);
        e2e_done(&r);
    }
}

Test(heap_allocators, jemalloc_in_front_of_us) { in_front(0); }
Test(heap_allocators, tcmalloc_minimal_in_front_of_us) { in_front(1); }
Test(heap_allocators, tcmalloc_in_front_of_us) { in_front(2); }
Test(heap_allocators, mimalloc_in_front_of_us) { in_front(3); }

static void with(unsigned library) {
    e2e_need(access(HOSTS "/bare", X_OK) == 0, "the hosts");
    char path[512];
    snprintf(path, sizeof path, HOSTS "/%s", linked[library]);
    e2e_need(access(path, X_OK) == 0, linked[library]);
    snprintf(path, sizeof path, "%s 1000", linked[library]);
    struct e2e r = e2e_same("CPROF=heap=1", path);
    family_is_exact(&r, 1000);
    provider_is(&r, libraries[library]);
    e2e_done(&r);
}

Test(heap_allocators, linked_with_jemalloc) { with(0); }
Test(heap_allocators, linked_with_tcmalloc_minimal) { with(1); }
Test(heap_allocators, linked_with_tcmalloc) { with(2); }
Test(heap_allocators, linked_with_mimalloc) { with(3); }

Test(heap_allocators, rust) {
    int status;
    free(e2e_shell(&status, "command -v rustc"));
    e2e_need(status == 0, "rustc");
    e2e_timeout_s = 300;
    struct e2e r = e2e_same_driven("CPROF=heap=1", "heap_rust.sh");
    char *rows = heap_rows(&r, "cprof-heap_leak-*-heap-1.pb.gz");
    heap_is(rows, "heap_leak::leak_here", 1000, 2000e3, 1000, 2000e3);
    struct heap_sums s = heap_find(rows, "heap_leak::churn");
    cr_expect(s.of[ALLOC_OBJECTS] > 2000 && s.of[INUSE_OBJECTS] == 0, "churn: %.0f, %.0f",
              s.of[ALLOC_OBJECTS], s.of[INUSE_OBJECTS]);
    free(rows);
    e2e_done(&r);
}
