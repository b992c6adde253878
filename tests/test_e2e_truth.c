/*
 * Numbers against the truth: what the kernel billed (getrusage), what the host's own clock
 * measured.
 *
 * Every sample is weighted with a clock difference and a thread's rest is charged at its end, so a
 * total has no sampling error; 1 % is left for start-up and exit, which the host's getrusage sees
 * and the profile does not, plus 20 ms of it in the short form (CPROF_TEST_LONG=1 runs for 10 s as
 * the issue says).
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/e2e.h"

static bool is_long(void) { return getenv("CPROF_TEST_LONG") != NULL; }
/* A duration of the short form, in the long form three times as long. */
static int ms(int n) { return is_long() ? 3 * n : n; }

static struct e2e host(const char *env, const char *format, int a, int b) {
    char command[64];
    snprintf(command, sizeof command, format, a, b);
    return e2e_same(env, command);
}

static void total_is_true(const char *env, int n_threads, int each_ms) {
    struct e2e r = host(env, "cpu threads %d %d", n_threads, ms(each_ms));
    double truth = e2e_number(&r, "usage"), total = e2e_ask(&r, "*-cpu-1.pb.gz", "--total");
    double slack = truth * 0.01 + (is_long() ? 0 : 20e6);
    cr_expect(fabs(total - truth) <= slack, "%d threads: profile %.0f ms, kernel %.0f ms",
              n_threads, total / 1e6, truth / 1e6);
    double share = e2e_ask(&r, "*-cpu-1.pb.gz", "--share work"), work = e2e_number(&r, "work");
    cr_expect(fabs(share * total - work) <= slack, "work: %.0f ms, by its own clock %.0f ms",
              share * total / 1e6, work / 1e6);
    e2e_done(&r);
}

Test(truth, total_of_one_thread) { total_is_true("", 1, 3500); }
Test(truth, total_of_two_threads) { total_is_true("", 2, 3500); }
Test(truth, total_of_8_threads) { total_is_true("", 8, 1000); }
Test(truth, total_of_64_threads) { total_is_true("", 64, 150); }
Test(truth, total_at_1_khz) { total_is_true("CPROF=cpu=1000hz", 1, 3500); }
Test(truth, total_at_1_khz_of_8_threads) { total_is_true("CPROF=cpu=1000hz", 8, 1000); }
Test(truth, total_at_10_hz) { total_is_true("CPROF=cpu=10hz", 2, 3500); }

Test(truth, thread_that_sleeps_half_of_the_time) {
    struct e2e r = host("", "cpu half %d", ms(2000), 0);
    double truth = e2e_number(&r, "usage"), total = e2e_ask(&r, "*-cpu-1.pb.gz", "--total");
    cr_expect(fabs(total - truth) <= truth * 0.01 + 20e6, "profile %.0f ms, kernel %.0f ms",
              total / 1e6, truth / 1e6);
    e2e_done(&r);
}

Test(truth, two_equal_threads_are_half_and_half) {
    struct e2e r = host("", "cpu twins %d", ms(2000), 0);
    double left = e2e_number(&r, "left"), right = e2e_number(&r, "right"), sum = left + right;
    cr_expect(fabs(e2e_ask(&r, "*-cpu-1.pb.gz", "--share left") - left / sum) <= 0.03);
    cr_expect(fabs(e2e_ask(&r, "*-cpu-1.pb.gz", "--share right") - right / sum) <= 0.03);
    char *rows = e2e_text(&r, "*-cpu-1.pb.gz", "--by tid"), *second;
    double most = strtod(rows, NULL);
    second = strchr(rows, '\n');
    cr_assert(second, "one thread only: %s", rows);
    double other = strtod(second + 1, NULL);
    cr_expect(fabs(most / (most + other) - fmax(left, right) / sum) <= 0.03, "by tid:\n%s", rows);
    free(rows);
    e2e_done(&r);
}

/*
 * Slices in random order: a function's part is binomial at worst, with a variance of p(1-p)/n for n
 * samples of one weight. On a busy machine the ticks that meet the program are a few, and far from
 * even: intervals without memory, whose spread equals their mean, double the variance. 5 standard
 * errors for the n samples that there were: 5*sqrt(2*0.1*0.9/n).
 */
Test(truth, ten_functions_get_their_tenth) {
    struct e2e r = host("CPROF=cpu=250hz", "cpu ten %d", ms(4000), 0);
    double total = e2e_ask(&r, "*-cpu-1.pb.gz", "--total"), usage = e2e_number(&r, "usage");
    double n = e2e_ask(&r, "*-cpu-1.pb.gz", "--samples"), bound = 5 * sqrt(2 * 0.1 * 0.9 / n);
    cr_expect(fabs(total - usage) <= usage * 0.01 + 20e6, "profile %.0f ms, kernel %.0f ms",
              total / 1e6, usage / 1e6);
    cr_expect(n >= 100, "%.0f samples in 300 ticks or more", n);
    for (int i = 0; i < 10; i++) {
        char name[16], question[32];
        snprintf(name, sizeof name, "f%d", i);
        snprintf(question, sizeof question, "--share f%d", i);
        double truth = e2e_number(&r, name) / usage, share = e2e_ask(&r, "*-cpu-1.pb.gz", question);
        cr_expect(fabs(share - truth) <= bound, "%s: %.1f %%, in truth %.1f %% (%.0f samples)",
                  name, share * 100, truth * 100, n);
    }
    e2e_done(&r);
}

Test(truth, serial_and_parallel_work_weigh_the_same) {
    struct e2e r = host("", "cpu phases %d", ms(2000), 0);
    double serial = e2e_ask(&r, "*-cpu-1.pb.gz", "--share serial_work");
    double parallel = e2e_ask(&r, "*-cpu-1.pb.gz", "--share parallel_work");
    double truth = e2e_number(&r, "serial") / e2e_number(&r, "parallel");
    cr_expect(fabs(serial / parallel / truth - 1) <= 0.05, "serial %.3f, parallel %.3f, truth %.3f",
              serial, parallel, truth);
    e2e_done(&r);
}

Test(truth, threads_of_2_ms_are_not_lost) {
    struct e2e r = host("", "cpu mayflies %d", is_long() ? 10000 : 2400, 0);
    double total = e2e_ask(&r, "*-cpu-1.pb.gz", "--total");
    double attributed = e2e_ask(&r, "*-cpu-1.pb.gz", "--share short_life") * total;
    cr_expect(attributed >= 0.95 * e2e_number(&r, "work"), "%.0f of %.0f ms", attributed / 1e6,
              e2e_number(&r, "work") / 1e6);
    cr_expect(total <= 1.01 * e2e_number(&r, "usage") + 20e6, "%.0f ms", total / 1e6);
    e2e_done(&r);
}

Test(truth, two_dumps_together_are_the_whole) {
    struct e2e r = host("", "cpu dump %d", ms(1000), 0);
    double truth = e2e_number(&r, "usage"), total = e2e_ask(&r, "*-cpu-?.pb.gz", "--total");
    cr_assert_eq(e2e_count(&r, "*-cpu-?.pb.gz"), 2);
    cr_expect(fabs(total - truth) <= truth * 0.01 + 40e6, "files %.0f ms, kernel %.0f ms",
              total / 1e6, truth / 1e6);
    cr_expect(e2e_ask(&r, "*-cpu-1.pb.gz", "--share right") < 0.02);
    cr_expect(e2e_ask(&r, "*-cpu-2.pb.gz", "--share left") < 0.02);
    e2e_done(&r);
}

Test(truth, deep_stacks_keep_leaf_and_root) {
    struct e2e r = host("", "cpu deep %d %d", 300, 300);
    cr_expect(e2e_ask(&r, "*-cpu-1.pb.gz", "--depth") >= 300);
    e2e_done(&r);
    r = host("", "cpu deep %d %d", 5000, 300);
    double depth = e2e_ask(&r, "*-cpu-1.pb.gz", "--depth");
    cr_expect(depth >= 500 && depth <= 520, "%.0f frames", depth);
    cr_expect(e2e_ask(&r, "*-cpu-1.pb.gz", "--flat spin") +
                  e2e_ask(&r, "*-cpu-1.pb.gz", "--share work") >
              0.9);
    cr_expect(e2e_ask(&r, "*-cpu-1.pb.gz", "--share main") > 0.9);
    e2e_done(&r);
}
