/* The host's signals are the host's: see hosts/signals.c for what each scenario insists on. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/e2e.h"

/* The profile is there too, with this function in at least that part of it. */
static void with_profile(const char *env, const char *command, const char *function, double part) {
    struct e2e r = e2e_same(env, command);
    char question[64];
    snprintf(question, sizeof question, "--share %s", function);
    cr_expect(e2e_count(&r, "cprof-signals-*-cpu-1.pb.gz") >= 1, "%s: no profile", command);
    double share = e2e_ask(&r, "cprof-signals-*-cpu-*.pb.gz", question);
    cr_expect(share >= part, "%s: %s has %.3f", command, function, share);
    e2e_done(&r);
}

/* A host with its own USR2 handler gets one line that says how else to dump. */
static void with_a_word(const char *env, const char *command, const char *function, double part) {
    struct e2e r = e2e_same_logged(env, command, "CPROF_SIGNAL");
    char question[64];
    snprintf(question, sizeof question, "--share %s", function);
    cr_expect(e2e_ask(&r, "cprof-signals-*-cpu-*.pb.gz", question) >= part);
    e2e_done(&r);
}

#define FAST "CPROF=cpu=1000hz"

Test(signals, own_handlers_from_the_start) {
    with_a_word("", "signals own before", "burn_after", 0.8);
}
Test(signals, own_handlers_later) { with_a_word(FAST, "signals own after", "burn_after", 0.5); }
/* Not even a signal for samples is left then: either a profile or a word about it. */
Test(signals, handlers_for_every_signal) {
    struct e2e plain = e2e_plain(FAST, "signals every"), r = e2e_run(FAST, "signals every");
    cr_expect(plain.status == 0 && r.status == 0, "%s", r.err);
    cr_expect(r.n_profiles >= 1 || r.log[0], "no profile and not a word");
    cr_expect(!r.log[0] || !strchr(r.log, '\n')[1], "%s", r.log);
    e2e_done(&plain);
    e2e_done(&r);
}
Test(signals, old_action_is_called_politely) { with_a_word(FAST, "signals chain", "work", 0.5); }
Test(signals, nothing_shows_in_queries) { with_profile(FAST, "signals query", "work", 0.8); }
Test(signals, everything_set_to_default_and_back) {
    with_profile(FAST, "signals defaults", "work", 0.8);
}
Test(signals, everything_blocked_for_a_while) {
    with_profile("", "signals blocked", "burn_after", 0.1);
}
Test(signals, no_hot_spot_where_signals_are_unblocked) {
    struct e2e r = e2e_same("", "signals blocked");
    cr_expect(e2e_ask(&r, "*", "--flat pthread_sigmask") < 0.05);
    cr_expect(e2e_ask(&r, "*", "--flat sigprocmask") < 0.05);
    e2e_done(&r);
}
Test(signals, waiting_for_all_signals_gets_the_hosts_only) {
    with_profile(FAST, "signals waits", "work", 0.5);
}
Test(signals, alternate_stack_of_8_kib) {
    with_profile(FAST, "signals altstack", "on_alt_stack", 0.3);
}
Test(signals, threads_with_the_smallest_stack) {
    with_profile(FAST, "signals small_stacks", "small", 0.8);
}
Test(signals, errno_is_kept) { with_profile(FAST, "signals errno", "keep_errno", 0.8); }
Test(signals, no_call_is_interrupted) { with_profile(FAST, "signals eintr", "burner", 0.5); }
Test(signals, no_write_is_cut_short) { with_profile(FAST, "signals writes", "work", 0.1); }
Test(signals, interval_timers_of_the_host_fire) {
    with_profile(FAST, "signals timers", "work", 0.8);
}
Test(signals, stopped_time_is_not_cpu_time) {
    struct e2e r = e2e_same("", "signals stopped");
    double total = e2e_ask(&r, "*", "--total"), usage = e2e_number(&r, "usage");
    /* Half of the second that it was stopped for, or more, would show. */
    cr_expect(total > usage * 0.9 - 20e6 && total < usage + 500e6, "%.0f ms, kernel %.0f ms",
              total / 1e6, usage / 1e6);
    e2e_done(&r);
}
Test(signals, longjmp_out_of_a_handler) {
    with_profile(FAST, "signals longjmp", "burn_after", 0.1);
}
Test(signals, sleep_and_pause_last_as_long_as_they_should) {
    with_profile(FAST, "signals pauses", "burner", 0.8);
}
Test(signals, faults_are_the_hosts_own) {
    struct e2e r = e2e_same(FAST, "signals segv");
    cr_expect_str_eq(r.out, "stack overflow, said the host\n");
    e2e_done(&r);
}
Test(signals, usr2_dumps_until_the_host_wants_it) {
    struct e2e r = e2e_same_logged("", "signals takes", "CPROF_SIGNAL");
    cr_expect_eq(e2e_count(&r, "*-cpu-*.pb.gz"), 2, "%zu", r.n_profiles);
    e2e_done(&r);
}
Test(signals, interrupted_or_restarted_as_siginterrupt_said) {
    struct e2e other = e2e_same("CPROF_SIGNAL=RTMAX", "signals interrupt");
    struct e2e named = e2e_same("CPROF_SIGNAL=USR2", "signals interrupt");
    e2e_done(&other);
    e2e_done(&named);
}
Test(signals, ignored_usr2_stays_ignored) {
    struct e2e r = e2e_run("", "signals ignored");
    cr_expect_eq(r.status, 0, "%s", r.err);
    e2e_done(&r);
}
Test(signals, another_dump_signal) {
    struct e2e r =
        e2e_run("CPROF_SIGNAL=SIGUSR1", "/bin/sh -c 'kill -USR1 $$; kill -USR1 $$; echo alive'");
    cr_expect_eq(r.status, 0);
    cr_expect_str_eq(r.out, "alive\n");
    e2e_done(&r);
}
Test(signals, no_dump_signal) {
    struct e2e r = e2e_same_status("CPROF_SIGNAL=none", "/bin/sh -c 'kill -USR2 $$'", KILLED(12));
    e2e_done(&r);
}
Test(signals, threads_born_with_everything_blocked) {
    with_profile("", "signals threads_blocked", "masked", 0.7);
}
/* coreutils' sort dies of SIGPROF under every other profiler. */
Test(signals, sort_sorts) {
    struct e2e r = e2e_same(FAST, "/bin/bash -c 'seq 400000 | tac | sort -n | md5sum'");
    cr_expect(e2e_count(&r, "cprof-sort-*") >= 1);
    e2e_done(&r);
}
