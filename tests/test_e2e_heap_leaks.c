/*
 * Leaks as people meet them: inside of churn, in a server full of data, as the difference of two
 * dumps. Rates are those of production or near; the bounds are those of heap_e2e.h.
 */
#include "tests/heap_e2e.h"

/* The function in the first row of go tool pprof -top, by live bytes at the leaf. */
static void on_top(const struct e2e *r, const char *pattern, const char *function) {
    char *top = e2e_shell(NULL, "go tool pprof -top -sample_index=inuse_space '%s' 2>&1",
                          e2e_profile(r, pattern));
    char *first = strstr(top, "flat%"), *row = first ? strchr(first, '\n') : NULL;
    char *found = row ? strstr(row, function) : NULL;
    cr_expect(found && found < strchr(row + 1, '\n'), "%s is not on top:\n%s", function, top);
    free(top);
}

static void within(const char *what, double got, double truth, double most) {
    cr_expect(fabs(got - truth) <= most + 1, "%s: %.0f of %.0f, +- %.0f", what, got, truth, most);
}

static void leak_is_found(const char *env, double rate) {
    e2e_timeout_s = 240;
    struct e2e r = e2e_same(env, "heap_leak 1");
    double n = e2e_number(&r, "forgotten0"), bytes = e2e_number(&r, "record");
    struct heap_sums s = heap_of(&r, "*-heap-1.pb.gz", "remember_client");
    within("leaked blocks", s.of[INUSE_OBJECTS], n, heap_bound(n, bytes, rate));
    within("leaked bytes", s.of[INUSE_SPACE], n * bytes, bytes * heap_bound(n, bytes, rate));
    on_top(&r, "*-heap-1.pb.gz", "remember_client");
    s = heap_of(&r, "*-heap-1.pb.gz", "answer");
    cr_expect(s.of[ALLOC_OBJECTS] > 0 && s.of[INUSE_OBJECTS] == 0, "churn: %.0f in use",
              s.of[INUSE_OBJECTS]);
    e2e_done(&r);
}

Test(heap_leaks, service_that_forgets_at_64k) { leak_is_found("CPROF=heap=64k", 65536); }
Test(heap_leaks, service_that_forgets_exactly) { leak_is_found("CPROF=heap=1", 1); }

/* Text of go tool pprof -top of the difference of two dumps of one process. */
static char *difference(const struct e2e *r) {
    return e2e_shell(NULL,
                     "go tool pprof -top -nodecount=20 -sample_index=inuse_space -diff_base '%s' "
                     "'%s' 2>&1",
                     e2e_profile(r, "*-heap-1.pb.gz"), e2e_profile(r, "*-heap-2.pb.gz"));
}

/* What stayed cancels to the last byte: both dumps know it by the same samples. */
Test(heap_leaks, difference_of_two_dumps_is_the_growth) {
    double n = 20000, rate = 16384;
    struct e2e r = e2e_same("CPROF=heap=16k", "heap growth 20000");
    char *diff = difference(&r);
    cr_expect(strstr(diff, " site1") && !strstr(diff, " site2") && !strstr(diff, " site0"), "%s",
              diff);
    free(diff);
    struct heap_sums before = heap_of(&r, "*-heap-1.pb.gz", "site0");
    struct heap_sums after = heap_of(&r, "*-heap-2.pb.gz", "site0");
    for (int i = 0; i < HEAP_VALUES; i++)
        cr_expect_eq(before.of[i], after.of[i]);
    after = heap_of(&r, "*-heap-2.pb.gz", "site1");
    within("growth", after.of[INUSE_SPACE], n / 2 * 1000, 1000 * heap_bound(n / 2, 1000, rate));
    e2e_done(&r);
}

Test(heap_leaks, service_grows_between_two_dumps) {
    struct e2e r = e2e_same("CPROF=heap=32k", "heap_leak 2");
    char *diff = difference(&r);
    char *first = strstr(diff, "flat%"), *leak = strstr(diff, "remember_client");
    cr_assert(first && leak, "%s", diff);
    first = strchr(first, '\n') + 1;
    cr_expect(leak < strchr(first, '\n'), "the leak is not the first row:\n%s", diff);
    double n = e2e_number(&r, "forgotten1") - e2e_number(&r, "forgotten0"), bytes = 300;
    struct heap_sums before = heap_of(&r, "*-heap-1.pb.gz", "remember_client");
    struct heap_sums after = heap_of(&r, "*-heap-2.pb.gz", "remember_client");
    within("growth", after.of[INUSE_SPACE] - before.of[INUSE_SPACE], n * bytes,
           bytes * heap_bound(n, bytes, 32768));
    free(diff);
    e2e_done(&r);
}

/*
 * A redis full of known data: 4,000 values of 10,000 bytes. As redis keeps them each is a string of
 * 10,006 (5 bytes of header, a zero at its end), made where it reads the request.
 */
Test(heap_leaks, redis_full_of_data) {
    int status;
    free(e2e_shell(&status, "command -v redis-server && command -v redis-cli"));
    e2e_need(status == 0, "redis-server");
    e2e_timeout_s = 300;
    double n = 4000, bytes = 10006, rate = 16384;
    struct e2e r = e2e_same_driven("CPROF=heap=16k", "heap_redis.sh");
    const char *first = "cprof-redis-server-*-heap-1.pb.gz";
    const char *second = "cprof-redis-server-*-heap-2.pb.gz";
    const char *site = "processMultibulkBuffer";
    struct heap_sums empty = heap_of(&r, first, site), full = heap_of(&r, second, site);
    within("values", full.of[INUSE_SPACE] - empty.of[INUSE_SPACE], n * bytes,
           bytes * heap_bound(n, bytes, rate));
    char *diff = e2e_shell(NULL,
                           "go tool pprof -top -cum -nodecount=40 -sample_index=inuse_space "
                           "-diff_base '%s' '%s' 2>&1",
                           e2e_profile(&r, first), e2e_profile(&r, second));
    cr_expect(strstr(diff, site), "%s is not in\n%s", site, diff);
    double total = e2e_ask(&r, second, "--total") - e2e_ask(&r, first, "--total");
    cr_expect(fabs(total - 41e6) < 6e6, "growth in all: %.1f MB", total / 1e6);
    free(diff);
    char *said = e2e_text(&r, second, "--comment ''");
    cr_expect(strstr(said, "jemalloc"), "the provider is not in:\n%s", said);
    free(said);
    e2e_done(&r);
}
