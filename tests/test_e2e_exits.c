/* The status is the host's own, and a profile is there exactly when design D13 says so. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>

#include "tests/e2e.h"

static void leaves(const char *env, const char *command, int status, size_t n_profiles) {
    struct e2e r = e2e_same_status(env, command, status);
    cr_expect_eq(e2e_count(&r, "cprof-exits-*-cpu-1.pb.gz"), n_profiles, "%s: %zu profiles",
                 command, r.n_profiles);
    if (n_profiles)
        cr_expect(e2e_ask(&r, "*-cpu-1.pb.gz", "--share main") > 0.2 ||
                  e2e_ask(&r, "*-cpu-1.pb.gz", "--share work") > 0.2);
    e2e_done(&r);
}

Test(exits, by_exit) { leaves("", "exits exit 0", EXITED(0), 1); }
Test(exits, by_exit_with_every_kind_of_code) {
    static const int codes[] = {1, 2, 77, 127, 128, 143, 254, 255};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        char command[32];
        snprintf(command, sizeof command, "exits exit %d", codes[i]);
        leaves("", command, EXITED(codes[i]), 1);
    }
}
Test(exits, by__exit) { leaves("", "exits _exit 4", EXITED(4), 1); }
Test(exits, by__Exit) { leaves("", "exits _Exit 5", EXITED(5), 1); }
Test(exits, by_quick_exit) { leaves("", "exits quick_exit 6", EXITED(6), 1); }
Test(exits, by_return) { leaves("", "exits return", EXITED(0), 1); }
Test(exits, by_atexit) { leaves("", "exits atexit", EXITED(0), 1); }
Test(exits, by_abort) { leaves("", "exits abort", KILLED(SIGABRT), 0); }
Test(exits, by_the_system_call) { leaves("", "exits raw 3", EXITED(3), 0); }
Test(exits, by_sigkill) { leaves("CPROF_EXIT=term", "exits signal 9", KILLED(SIGKILL), 0); }
Test(exits, by_sigterm) { leaves("", "exits signal 15", KILLED(SIGTERM), 0); }
Test(exits, by_sigterm_with_a_profile) {
    leaves("CPROF_EXIT=term", "exits signal 15", KILLED(SIGTERM), 1);
}
Test(exits, by_sigint_with_a_profile) {
    leaves("CPROF_EXIT=term", "exits signal 2", KILLED(SIGINT), 1);
}
Test(exits, by_sighup_with_a_profile) {
    leaves("CPROF_EXIT=term", "exits signal 1", KILLED(SIGHUP), 1);
}
Test(exits, by_sigterm_among_threads) {
    leaves("CPROF_EXIT=term", "exits thread_signal 15", KILLED(SIGTERM), 1);
}
Test(exits, by_the_hosts_own_term_handler) {
    leaves("CPROF_EXIT=term", "exits own_term", EXITED(9), 1);
}
Test(exits, ignored_term_stays_ignored) {
    leaves("CPROF_EXIT=term", "exits ignored_term", EXITED(0), 1);
}
Test(exits, never_at_exit) { leaves("CPROF_EXIT=0", "exits exit 3", EXITED(3), 0); }
Test(exits, by_pthread_exit_of_main) { leaves("", "exits main_pthread_exit", EXITED(0), 1); }
Test(exits, by_pthread_exit_of_main_before_a_thread) {
    leaves("", "exits last_thread", EXITED(0), 1);
}
/* An option that needs the agent's thread from the start does not keep the process. */
Test(exits, by_pthread_exit_of_main_with_the_agents_thread) {
    struct e2e r = e2e_same("CPROF_EVERY=1m", "exits main_pthread_exit");
    cr_expect_eq(e2e_certain(&r, "*"), 1);
    e2e_done(&r);
    r = e2e_same("CPROF_EVERY=1m", "exits last_thread");
    cr_expect_eq(e2e_certain(&r, "*"), 1);
    e2e_done(&r);
}
Test(exits, from_a_thread) { leaves("", "exits thread_exit 5", EXITED(5), 1); }
Test(exits, with_busy_threads) {
    for (int i = 0; i < 20; i++)
        leaves("CPROF=cpu=1000hz", "exits exit_busy 3", EXITED(3), 1);
}
Test(exits, in_a_handler_that_interrupted_malloc) {
    for (int i = 0; i < 20; i++) {
        leaves("CPROF=cpu=1000hz", "exits handler", EXITED(3), 1);
        leaves("CPROF=cpu=1000hz", "exits _exit_handler", EXITED(3), 1);
    }
}

/* Complete sets only: every file is valid (each run checks that), none is left half-written. */
Test(exits, four_triggers_at_once) {
    for (int i = 0; i < 30; i++) {
        struct e2e r = e2e_same("", "exits four_triggers");
        cr_expect(e2e_count(&r, "cprof-exits-*-cpu-*.pb.gz") >= 1);
        e2e_done(&r);
    }
}
Test(exits, storm_of_ten_thousand_requests) {
    struct e2e r = e2e_same("", "exits storm 10000");
    cr_expect(r.n_profiles >= 1 && r.n_profiles <= 10001, "%zu", r.n_profiles);
    e2e_done(&r);
}
Test(exits, storm_with_the_agents_thread) {
    struct e2e r = e2e_same("", "exits storm_threads 10000");
    cr_expect(r.n_profiles >= 1 && r.n_profiles <= 10001, "%zu", r.n_profiles);
    e2e_done(&r);
}
Test(exits, every_interval) {
    struct e2e r = e2e_same("CPROF=cpu CPROF_EVERY=200ms", "cpu until 3");
    cr_expect(e2e_count(&r, "cprof-cpu-*-cpu-*.pb.gz") >= 3, "%zu", r.n_profiles);
    /* The kernel bills the agent's thread too, which appears in no profile. */
    double total = e2e_ask(&r, "cprof-cpu-*-cpu-*.pb.gz", "--total");
    double work = e2e_number(&r, "work"), usage = e2e_number(&r, "usage");
    cr_expect(total > 0.98 * work && total < 1.01 * usage + 20e6, "%.0f ms, work %.0f of %.0f ms",
              total / 1e6, work / 1e6, usage / 1e6);
    e2e_done(&r);
}
