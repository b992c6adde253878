/*
 * Real programs, a few seconds each: their output is the same with and without the agent, every
 * profile passes the strict reader and go tool pprof, and `go tool pprof -top` shows a function
 * that anybody would expect.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/e2e.h"

static void needs(const char *program) {
    int status;
    free(e2e_shell(&status, "command -v %s /usr/sbin/%s 2>/dev/null", program, program));
    char *found = e2e_shell(&status, "command -v %s || command -v /usr/sbin/%s", program, program);
    bool there = found[0] == '/';
    free(found);
    e2e_need(there, program);
}

static struct e2e drive(const char *env, const char *script) {
    return e2e_same_driven(env, script);
}

/* Among the first n of go tool pprof -top, in order of the whole call tree. */
static void shows(const struct e2e *r, const char *pattern, const char *function) {
    char *top = e2e_pprof_top(r, pattern);
    cr_expect(strstr(top, function), "%s is not in\n%s", function, top);
    free(top);
}

Test(programs, redis) {
    needs("redis-server");
    needs("redis-benchmark");
    struct e2e r = drive("", "redis.sh");
    cr_expect(e2e_count(&r, "cprof-redis-server-*-cpu-*.pb.gz") >= 2);
    shows(&r, "cprof-redis-server-*-cpu-*.pb.gz", "aeMain");
    shows(&r, "cprof-redis-server-*-cpu-*.pb.gz", "processCommand");
    e2e_done(&r);
}

Test(programs, nginx) {
    needs("nginx");
    needs("wrk");
    needs("curl");
    struct e2e r = drive("CPROF_SIGNAL=VTALRM", "nginx.sh");
    cr_expect(e2e_count(&r, "cprof-nginx-*-cpu-*.pb.gz") >= 1, "%zu", r.n_profiles);
    shows(&r, "cprof-nginx-*-cpu-*.pb.gz", "ngx_process_events_and_timers");
    shows(&r, "cprof-nginx-*-cpu-*.pb.gz", "deflate");
    e2e_done(&r);
}

/* Nothing set: nginx has a handler for USR2, so that its profiles come at exit, and one line says
 * so. */
Test(programs, nginx_as_it_is) {
    needs("nginx");
    needs("wrk");
    struct e2e r = drive("NO_DUMP=1", "nginx.sh");
    cr_expect(e2e_count(&r, "cprof-nginx-*-cpu-*.pb.gz") >= 1, "%zu", r.n_profiles);
    e2e_done(&r);
}

Test(programs, sqlite) {
    needs("sqlite3");
    struct e2e r = drive("", "sqlite.sh");
    cr_expect_eq(e2e_count(&r, "cprof-sqlite3-*-cpu-*.pb.gz"), 2);
    shows(&r, "cprof-sqlite3-*-cpu-*.pb.gz", "sqlite3_step");
    e2e_done(&r);
}

Test(programs, python) {
    needs("python3");
    struct e2e r = drive("", "python.sh");
    cr_expect(e2e_count(&r, "cprof-python3*-cpu-*.pb.gz") >= 2);
    shows(&r, "cprof-python3*-cpu-*.pb.gz", "_PyEval_EvalFrameDefault");
    e2e_done(&r);
}

Test(programs, gcc) {
    needs("gcc");
    struct e2e r = drive("", "gcc.sh");
    cr_expect(e2e_count(&r, "cprof-cc1-*-cpu-1.pb.gz") >= 1);
    char *profile = e2e_text(&r, "cprof-cc1-*-cpu-1.pb.gz", "--json");
    cr_expect(strstr(profile, "/cc1\""), "the main binary is cc1");
    free(profile);
    e2e_done(&r);
}

Test(programs, rust_legacy_names) {
    needs("rustc");
    struct e2e r = drive("", "rust.sh legacy");
    cr_expect_eq(e2e_count(&r, "cprof-hot-*-cpu-*.pb.gz"), 2);
    shows(&r, "cprof-hot-*-cpu-*.pb.gz", "hot::Work>::burn");
    e2e_done(&r);
}

Test(programs, rust_v0_names) {
    needs("rustc");
    struct e2e r = drive("", "rust.sh v0");
    cr_expect_eq(e2e_count(&r, "cprof-hot-*-cpu-*.pb.gz"), 2);
    shows(&r, "cprof-hot-*-cpu-*.pb.gz", "hot::Work>::burn");
    shows(&r, "cprof-hot-*-cpu-*.pb.gz", "hot::apply");
    e2e_done(&r);
}

Test(programs, go_with_cgo) {
    needs("go");
    struct e2e r = drive("", "go.sh");
    cr_expect_eq(e2e_count(&r, "cprof-hot-*-cpu-*.pb.gz"), 1,
                 "the dump by USR2; Go leaves by the system call");
    shows(&r, "cprof-hot-*-cpu-*.pb.gz", "c_burn");
    shows(&r, "cprof-hot-*-cpu-*.pb.gz", "main.goBurn");
    e2e_done(&r);
}

Test(programs, node) {
    needs("node");
    struct e2e r = drive("", "node.sh");
    cr_expect(e2e_count(&r, "cprof-node-*-cpu-*.pb.gz") >= 2);
    shows(&r, "cprof-node-*-cpu-*.pb.gz", "hotLoop");
    e2e_done(&r);
}

Test(programs, java) {
    needs("java");
    needs("javac");
    struct e2e r = drive("", "java.sh");
    cr_expect(e2e_count(&r, "cprof-java-*-cpu-1.pb.gz") >= 1);
    cr_expect(e2e_ask(&r, "cprof-java-*-cpu-*.pb.gz", "--total") > 300e6);
    e2e_done(&r);
}

Test(programs, tools_of_every_day) {
    struct e2e r = drive("CPROF=cpu=1000hz", "tools.sh");
    cr_expect(e2e_count(&r, "cprof-sort-*-cpu-1.pb.gz") >= 1);
    cr_expect(e2e_count(&r, "cprof-perl-*-cpu-1.pb.gz") >= 1);
    e2e_done(&r);
}
