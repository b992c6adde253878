/*
 * Locks of real programs: they answer what they answer without the agent, none of them stops, and
 * the top of their profiles is what anybody who knows them would expect. Every wait is recorded,
 * which is the hardest on an allocator whose locks are among those that are looked at.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/e2e.h"

static const char exact[] = "CPROF=cpu,mutex=1ns,block=1ns CPROF_EXIT=1 HOSTS=" HOSTS;
/* Every kind there is, each as dense as it goes. */
static const char finest[] =
    "CPROF=cpu=1000hz,heap=1k,mutex=1ns,block=1ns CPROF_EXIT=1 HOSTS=" HOSTS;

static bool is_long(void) { return getenv("CPROF_TEST_LONG") != NULL; }

static void needs(const char *program) {
    int status;
    char *found = e2e_shell(&status, "command -v %s || ls /usr/sbin/%s", program, program);
    bool there = found[0] == '/';
    free(found);
    e2e_need(there, program);
}

static struct e2e drive(const char *env, const char *script) {
    e2e_timeout_s = 300;
    return e2e_same_driven(env, script);
}

static void on_top(const struct e2e *r, const char *pattern, const char *function) {
    char *top = e2e_pprof_top(r, pattern);
    cr_expect(strstr(top, function), "%s is not in\n%s", function, top);
    free(top);
}

/* --- allocators with contention inside --- */

static void churned(const char *library) {
    int status;
    char *found = e2e_shell(&status, "ls /usr/lib/*/%s /usr/lib/%s 2>/dev/null", library, library);
    bool there = found[0] == '/';
    free(found);
    e2e_need(there, library);
    char command[128];
    snprintf(command, sizeof command, "allocator.sh %s 20000 %d", library, is_long() ? 30 : 0);
    struct e2e r = drive(finest, command);
    cr_expect_str_eq(r.out, "churned\nchurned\n");
    cr_expect(e2e_ask(&r, "cprof-churn-*-block-*.pb.gz", "--total") > 0);
    e2e_done(&r);
}

Test(allocators, jemalloc) { churned("libjemalloc.so.2"); }
Test(allocators, tcmalloc) { churned("libtcmalloc_minimal.so.4"); }
Test(allocators, mimalloc) { churned("libmimalloc.so.2"); }
/* A host that goes on for a minute in the long form. */
static struct e2e at_length(const char *host) {
    char command[64];
    snprintf(command, sizeof command, "%s %d", host, is_long() ? 60 : 0);
    e2e_timeout_s = 300;
    return e2e_same(finest, command);
}

Test(allocators, malloc_of_glibc) {
    struct e2e r = at_length("churn 20000");
    cr_expect(e2e_ask(&r, "*-mutex-1.pb.gz", "--share churner") > 0.9);
    e2e_done(&r);
}

/* --- exceptions --- */

Test(exceptions, out_of_contended_locks) {
    struct e2e r = at_length("throws 2000");
    cr_expect(e2e_ask(&r, "*-block-1.pb.gz", "--share one_round") > 0);
    e2e_done(&r);
}

/* --- programs --- */

Test(programs, postgres_and_its_balances) {
    int status;
    free(e2e_shell(&status, "ls /usr/lib/postgresql/*/bin/initdb"));
    e2e_need(status == 0, "postgresql");
    struct e2e r = drive(finest, is_long() ? "postgres.sh 16 4000" : "postgres.sh 8 50");
    cr_expect(e2e_count(&r, "cprof-postgres-*-block-1.pb.gz") > 0);
    e2e_done(&r);
}

/* The I/O threads wait for the main thread, which holds their mutexes while it has nothing to do.
 * On a busy machine others wait, too: whoever loses its processor with a mutex in its hand. */
Test(programs, redis_io_threads) {
    needs("redis-server");
    struct e2e r = drive(exact, "redis_threads.sh");
    cr_expect(e2e_ask(&r, "cprof-redis-server-*-block-1.pb.gz",
                      "--where kind=mutex --share IOThreadMain") > 0);
    e2e_done(&r);
}

/* The readers of the pool wait for tasks. */
Test(programs, nginx_thread_pool) {
    needs("nginx");
    needs("wrk");
    struct e2e r = drive(exact, "nginx_threads.sh");
    on_top(&r, "cprof-nginx-*-block-1.pb.gz", "ngx_thread_cond_wait");
    e2e_done(&r);
}

/* The interpreter's lock is a mutex with a condition variable, waited for 5 ms at a time. */
Test(programs, python_threads) {
    needs("python3");
    struct e2e r = drive(exact, "gil.sh");
    char *kinds = e2e_text(&r, "cprof-python3*-block-1.pb.gz", "--by kind");
    cr_expect(strstr(kinds, " cond\n") || strstr(kinds, " sem\n"), "%s", kinds);
    free(kinds);
    e2e_done(&r);
}

/* The main thread waits for the workers, which are done with a block each at some time. */
Test(programs, xz_with_three_threads) {
    needs("xz");
    struct e2e r = drive(exact, "xz.sh");
    on_top(&r, "cprof-xz-*-block-1.pb.gz", "lzma_code");
    e2e_done(&r);
}

/* What the kernel took for all futex waits, by strace, against the block profile of the same run:
 * our waits contain the system calls, and beside them the tracer's two stops at each, which on a
 * busy machine may take as long as they like. The long form is for a quiet one. */
Test(programs, waits_are_what_strace_saw) {
    needs("strace");
    int status;
    free(e2e_shell(&status, "strace -f -o /dev/null true 2>&1"));
    e2e_need(status == 0, "the right to use strace");
    struct e2e r = drive(exact, "traced_hog.sh");
    char *seen =
        e2e_shell(NULL, "python3 '" PROGRAMS "/strace_waits.py' '%s/traces/hog.txt'", r.dir);
    double traced = strtod(seen, NULL), block = e2e_ask(&r, "cprof-hog-*-block-1.pb.gz", "--total");
    cr_expect(traced > 0 && block >= 0.999 * traced, "block profile %.1f ms, strace %.1f ms",
              block / 1e6, traced / 1e6);
    cr_expect(!is_long() || block <= 1.05 * traced, "block profile %.1f ms, strace %.1f ms",
              block / 1e6, traced / 1e6);
    free(seen);
    e2e_done(&r);
}
