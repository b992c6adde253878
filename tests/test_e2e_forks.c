/* Each process has its own, correct file; the host sees no child, signal or descriptor of ours. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/e2e.h"

Test(forks, preforked_workers_have_a_file_each) {
    struct e2e r = e2e_same("", "forks prefork 4 400");
    cr_assert_eq(e2e_count(&r, "cprof-forks-*-cpu-1.pb.gz"), 5);
    size_t of_workers = 0;
    for (size_t i = 0; i < r.n_profiles; i++) {
        const char *one = strrchr(r.profiles[i], '/') + 1;
        char usage[32];
        int pid = 0;
        if (strstr(one, "-heap-"))
            continue;
        sscanf(one, "cprof-forks-%d-", &pid);
        snprintf(usage, sizeof usage, "usage-%d", pid);
        double total = e2e_ask(&r, one, "--total"), child = e2e_ask(&r, one, "--share child_work"),
               truth = e2e_number(&r, usage);
        cr_expect(total > 0.95 * truth - 20e6 && total < 1.01 * truth + 20e6,
                  "%s: %.0f ms, kernel %.0f ms", one, total / 1e6, truth / 1e6);
        cr_expect(child > 0.9 || child == 0, "%s mixes two processes: %.2f", one, child);
        of_workers += child > 0.9;
    }
    cr_expect_eq(of_workers, 4);
    e2e_done(&r);
}

Test(forks, daemon_that_closes_everything_keeps_its_data) {
    struct e2e r = e2e_same("", "forks daemon");
    cr_expect_eq(e2e_number(&r, "good"), 1);
    /* The daemon's, and now and then one of the two processes before it, which do next to nothing.
     */
    cr_expect(e2e_count(&r, "cprof-forks-*-cpu-1.pb.gz") <= 3);
    cr_expect(e2e_ask(&r, "*", "--share grandchild_work") > 0.5);
    e2e_done(&r);
}

Test(forks, daemon3_dumps_by_signal) {
    struct e2e r = e2e_same("", "forks daemon3");
    cr_expect_eq(e2e_number(&r, "good"), 1);
    cr_expect(e2e_ask(&r, "*-cpu-1.pb.gz", "--share child_work") > 0.8);
    cr_expect(e2e_ask(&r, "*-cpu-2.pb.gz", "--share grandchild_work") > 0.8);
    e2e_done(&r);
}

Test(forks, system_and_popen) {
    struct e2e r = e2e_same("", "forks system");
    cr_expect_eq(e2e_count(&r, "cprof-forks-*-cpu-1.pb.gz"), 2);
    e2e_done(&r);
}

Test(forks, posix_spawn) {
    struct e2e r = e2e_same("", "forks spawn");
    cr_expect_eq(e2e_count(&r, "cprof-forks-*-cpu-1.pb.gz"), 4);
    e2e_done(&r);
}

Test(forks, vfork_and_exec) {
    struct e2e r = e2e_same("", "forks vfork_exec");
    cr_expect_eq(e2e_count(&r, "cprof-forks-*-cpu-1.pb.gz"), 4);
    e2e_done(&r);
}

Test(forks, what_a_vfork_child_does_to_signals_is_its_own) {
    struct e2e r = e2e_same("CPROF_SIGNAL=RTMAX", "forks vfork_signals");
    struct e2e shared = e2e_same_logged("", "forks vfork_signals", "CPROF_SIGNAL");
    e2e_done(&r);
    e2e_done(&shared);
}
Test(forks, ten_thousand_vforks_leave_the_parent_alone) {
    struct e2e r = e2e_same("CPROF=cpu=1000hz", "forks vforks 10000");
    cr_expect_eq(r.n_profiles, 1, "%zu files", r.n_profiles);
    cr_expect(e2e_ask(&r, "*", "--share parent_work") * e2e_ask(&r, "*", "--total") > 80e6);
    e2e_done(&r);
}

Test(forks, storm_while_threads_malloc) {
    struct e2e r = e2e_same("CPROF=cpu=1000hz", "forks storm 600");
    cr_expect(e2e_count(&r, "cprof-forks-*-cpu-1.pb.gz") >= 1);
    e2e_done(&r);
}

Test(forks, nested_children) {
    struct e2e r = e2e_same("", "forks nested");
    cr_expect_eq(e2e_count(&r, "cprof-forks-*-cpu-1.pb.gz"), 3);
    e2e_done(&r);
}

Test(forks, exec_chain_overwrites_nothing) {
    struct e2e r = e2e_same("", "forks chain 5");
    cr_expect(r.n_profiles >= 2);
    /* It took 100 ms or more. */
    double child = e2e_ask(&r, "*-cpu-*", "--share child_work") * e2e_ask(&r, "*-cpu-*", "--total");
    cr_expect(child > 80e6, "%.1f ms", child / 1e6);
    e2e_done(&r);
}

Test(forks, wait_and_sigchld_see_the_hosts_own_children) {
    struct e2e r = e2e_same("", "forks wait");
    cr_expect(r.n_profiles >= 1);
    e2e_done(&r);
    r = e2e_same("CPROF_EVERY=100ms", "forks wait 3");
    cr_expect(r.n_profiles >= 3);
    e2e_done(&r);
}

Test(forks, child_that_ends_by_its_last_thread) {
    struct e2e r = e2e_same("", "forks child_thread_exit");
    cr_expect_eq(e2e_count(&r, "cprof-forks-*-cpu-1.pb.gz"), 2);
    e2e_done(&r);
}

Test(forks, descriptors_of_a_child_are_the_hosts) {
    struct e2e r = e2e_same("", "forks fds");
    e2e_done(&r);
}

Test(forks, shells_of_every_kind) {
    static const char *const commands[] = {
        "/bin/sh -c 'echo a | cat | (read x; echo $x); exec echo done'",
        "/bin/bash -c 'for i in 1 2 3; do (echo $i) & wait; done; echo $(echo sub)'",
        "/usr/bin/perl -e 'print `echo hi`; system(qq(true)); print $?'",
    };
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        struct e2e r = e2e_same("", commands[i]);
        e2e_done(&r);
    }
}

/*
 * A file only for a process that was sampled. A process that takes c ms at 100 Hz is sampled with a
 * probability of c/10 at most (its first sample is due at a random moment of the first 10 ms), so
 * the expected number is at most the CPU time of all of them by 10 ms, with a variance below that
 * number; 5 standard errors.
 */
Test(forks, five_hundred_short_processes_leave_few_files) {
    struct e2e r = e2e_same("", "/bin/bash -c 'for i in {1..500}; do /bin/true; done'");
    double expected = r.cpu_ns / 10e6, most = expected + 5 * sqrt(expected);
    cr_expect((double)e2e_count(&r, "cprof-true-*") <= most, "%zu files, %.0f at most in %.0f ms",
              r.n_profiles, most, r.cpu_ns / 1e6);
    e2e_done(&r);
}
