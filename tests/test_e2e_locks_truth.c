/*
 * Lock time against the truth: what is charged, what is wake-up latency and what was waited must
 * agree with each other, with the profiles, and with what the host measured around its own calls.
 */
#include <criterion/criterion.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/e2e.h"

static const char exact[] = "CPROF=mutex=1ns,block=1ns";
static const char mutex_file[] = "*-mutex-1.pb.gz", block_file[] = "*-block-1.pb.gz";

static bool is_long(void) { return getenv("CPROF_TEST_LONG") != NULL; }

static struct e2e waits(const char *env, const char *format, int a, int b) {
    char command[64];
    snprintf(command, sizeof command, format, a, b);
    e2e_timeout_s = 240;
    return e2e_same(env, command);
}

/* An exact total out of the comments: the number behind key. */
static double total(const struct e2e *r, const char *file, const char *key) {
    char question[64];
    snprintf(question, sizeof question, "--comment %s", key);
    char *line = e2e_text(r, file, question), *p = strstr(line, key);
    cr_assert(p, "no comment with %s in %s", key, file);
    for (p += strlen(key); *p && !isdigit((unsigned char)*p); p++)
        ;
    double v = strtod(p, NULL);
    free(line);
    return v;
}

static double ask(const struct e2e *r, const char *file, const char *format, const char *word) {
    char question[128];
    snprintf(question, sizeof question, format, word);
    return e2e_ask(r, file, question);
}

static void near(double got, double want, double part, const char *what) {
    cr_expect(fabs(got - want) <= part * want, "%s: %.3f ms, should be %.3f ms (%+.3f %%)", what,
              got / 1e6, want / 1e6, (got / want - 1) * 100);
}

/* --- conservation: nothing is sampled, so nothing may be lost --- */

static const char lock_kinds[] = "--total --where 'kind=mutex|rwlock-read|rwlock-write|futex'";

static void conserved(struct e2e *r) {
    double waited = total(r, mutex_file, "waited_ns"), charged = total(r, mutex_file, "charged_ns");
    double wakeup = total(r, mutex_file, "wakeup_ns");
    cr_expect(waited > 0);
    near(charged + wakeup, waited, 0.001, "charged + wake-up against waited");
    near(e2e_ask(r, mutex_file, "--total"), charged, 0.001, "mutex profile against charged");
    near(e2e_ask(r, block_file, lock_kinds), waited, 0.001, "block profile against waited");
}

static void all_is_conserved(const char *scenario, int n_threads, int rounds) {
    struct e2e r = waits(exact, scenario, n_threads, is_long() ? 20 * rounds : rounds);
    conserved(&r);
    cr_expect(total(&r, mutex_file, "waited_ns") <= e2e_number(&r, "most"));
    e2e_done(&r);
}

static void crowd_is_conserved(int n_threads, int rounds) {
    all_is_conserved("waits crowd %d %d", n_threads, rounds);
}

Test(conservation, two_threads) { crowd_is_conserved(2, 40000); }
Test(conservation, four_threads) { crowd_is_conserved(4, 20000); }
Test(conservation, eight_threads) { crowd_is_conserved(8, 10000); }
Test(conservation, sixteen_threads) { crowd_is_conserved(16, 5000); }
Test(conservation, sixty_four_threads) { crowd_is_conserved(64, 1250); }

/* Blame goes from thread to thread there, and must not be lost on the way. */
static void queues_are_conserved(int n_threads, int rounds) {
    all_is_conserved("waits queues %d %d", n_threads, rounds);
}

Test(conservation, words_of_two_threads) { queues_are_conserved(2, 40000); }
Test(conservation, words_of_eight_threads) { queues_are_conserved(8, 5000); }
Test(conservation, words_of_sixty_four_threads) { queues_are_conserved(64, 625); }

/* Waiting for the signal and, after it, for the mutex are two waits; the holder is charged for the
 * second. */
Test(conservation, relock_after_a_broadcast) {
    int rounds = is_long() ? 400 : 40;
    struct e2e r = waits(exact, "waits relock %d", rounds, 0);
    double held = e2e_number(&r, "held");
    double relock = e2e_ask(&r, block_file, "--total --where kind=mutex");
    double charged =
        e2e_ask(&r, mutex_file, "--share relock_release") * e2e_ask(&r, mutex_file, "--total");
    conserved(&r);
    cr_expect(relock >= 0.99 * held, "%.1f of %.1f ms", relock / 1e6, held / 1e6);
    cr_expect(charged >= 0.99 * held, "charged %.1f of %.1f ms", charged / 1e6, held / 1e6);
    /* How long they wait for the signal is up to the scheduler, how often is not. */
    static const char share[] = "--value contentions --where kind=cond --share relock_wait";
    static const char all[] = "--value contentions --where kind=cond --total";
    double n = e2e_ask(&r, block_file, share) * e2e_ask(&r, block_file, all);
    cr_expect(n >= 8 * rounds - 0.5, "%.0f waits of 8 threads in %d rounds", n, rounds);
    e2e_done(&r);
}

/* --- kinds, states and lock names --- */

static const char *const kinds[] = {"mutex",   "rwlock-read", "rwlock-write", "cond",  "sem",
                                    "barrier", "once",        "spin",         "futex", "join"};
/* Their functions in the host, and the objects that they wait for, if these have a name. */
static const char *const functions[] = {"wait_mutex", "wait_read",    "wait_write", "wait_cond",
                                        "wait_sem",   "wait_barrier", "wait_once",  "wait_spin",
                                        "wait_futex", "wait_join"};
static const char *const objects[] = {"the_mutex", "the_rwlock",  "the_rwlock", "the_cond",
                                      "the_sem",   "the_barrier", "the_once",   "the_spin",
                                      "the_word",  NULL};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* What the waits of a kind with that state come to on the function that waited. */
static double waits_of(const struct e2e *r, int kind, const char *state, const char *value) {
    char question[256];
    snprintf(question, sizeof question, "--value %s --where kind=%s --where state=%s --total",
             value, kinds[kind], state);
    double whole = e2e_ask(r, block_file, question);
    snprintf(question, sizeof question, "--value %s --where kind=%s --where state=%s --share %s",
             value, kinds[kind], state, functions[kind]);
    return whole * e2e_ask(r, block_file, question);
}

static void one_wait(const struct e2e *r, int kind, const char *state, double least, double most) {
    double delay = waits_of(r, kind, state, "delay"), n = waits_of(r, kind, state, "contentions");
    cr_expect(delay >= least && delay <= most, "%s, %s: %.3f ms, should be %.3f to %.3f",
              kinds[kind], state, delay / 1e6, least / 1e6, most / 1e6);
    cr_expect(fabs(n - 1) < 1e-6, "%s, %s: %.1f waits, not one", kinds[kind], state, n);
}

static void has_its_name(const struct e2e *r, int kind) {
    char question[64];
    snprintf(question, sizeof question, "--where kind=%s --by lock", kinds[kind]);
    char *locks = e2e_text(r, block_file, question);
    cr_expect(!objects[kind] || strstr(locks, objects[kind]), "%s is not in\n%s", objects[kind],
              locks);
    free(locks);
}

Test(kinds, every_kind_of_wait_is_one_wait_of_its_length) {
    struct e2e r = waits(exact, "waits kinds", 0, 0);
    for (int i = 0; i < KINDS; i++) {
        char least[32], most[32];
        snprintf(least, sizeof least, "least_%s", kinds[i]);
        snprintf(most, sizeof most, "most_%s", kinds[i]);
        one_wait(&r, i, "done", e2e_number(&r, least), e2e_number(&r, most));
    }
    e2e_done(&r);
}

Test(kinds, locks_of_static_storage_have_their_names) {
    struct e2e r = waits(exact, "waits kinds", 0, 0);
    for (int i = 0; i < KINDS; i++)
        has_its_name(&r, i);
    e2e_done(&r);
}

Test(kinds, a_wait_that_has_not_ended_is_in_the_file) {
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    struct e2e r = waits("CPROF=mutex=1ns,block=1ns CPROF_EXIT=1", "waits stuck", 0, 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    for (int i = 0; i < KINDS; i++)
        one_wait(&r, i, "waiting", e2e_number(&r, "least"), (end.tv_sec - begin.tv_sec + 1) * 1e9);
    /* Most of these threads have no other sample: their first one is made by the writer. */
    double all = e2e_ask(&r, block_file, "--total --where state=waiting");
    double named = e2e_ask(&r, block_file, "--total --where state=waiting --where thread=waits");
    cr_expect(named == all, "%.1f of %.1f ms have a thread's name", named / 1e6, all / 1e6);
    e2e_done(&r);
}

Test(kinds, time_limits_that_run_out) {
    static const char *const timed[] = {"mutex", "rwlock-read", "rwlock-write", "cond",
                                        "sem",   "join",        "futex"};
    struct e2e r = waits(exact, "waits timeouts", 0, 0);
    for (size_t i = 0; i < sizeof timed / sizeof *timed; i++) {
        char where[128], name[32];
        snprintf(where, sizeof where, "--total --where kind=%s --where state=timeout", timed[i]);
        double got = e2e_ask(&r, block_file, where);
        snprintf(name, sizeof name, "least_%s", timed[i]);
        double least = e2e_number(&r, name);
        snprintf(name, sizeof name, "most_%s", timed[i]);
        double most = e2e_number(&r, name);
        cr_expect(got >= least && got <= most, "%s: %.3f ms, should be %.3f to %.3f", timed[i],
                  got / 1e6, least / 1e6, most / 1e6);
    }
    e2e_done(&r);
}

/* --- sampling --- */

/*
 * Every wait of d ns is worth as many samples of R as the grid puts into it, so that the estimate
 * of a sum of waits S has at most the error of S/R random hits: R * sqrt(S/R). A count stands for
 * hits * R/d; kept with a probability of d/R when d < R, n waits have an error of sqrt(n * (R/d -
 * 1)).
 */
static double four_errors(double rate, double sum) {
    return 4 * rate * sqrt(sum / rate) + 4 * rate;
}

static void site_is_true(struct e2e *r, const char *site, const char *function, double rate,
                         double least, double took) {
    char question[64], name[32];
    double whole = e2e_ask(r, block_file, "--total"), n;
    snprintf(name, sizeof name, "%s_n", site);
    n = e2e_number(r, name);
    double got = ask(r, block_file, "--share %s", function) * whole;
    double off = four_errors(rate, took) + 0.005 * took;
    cr_expect(got >= least - off && got <= took + off,
              "%s: %.3f ms, should be %.3f to %.3f +- %.3f", site, got / 1e6, least / 1e6,
              took / 1e6, off / 1e6);
    snprintf(question, sizeof question, "--value contentions --share %s", function);
    double count =
        e2e_ask(r, block_file, question) * e2e_ask(r, block_file, "--value contentions --total");
    double each = took / n, error = each < rate ? 4 * sqrt(n * (rate / each - 1)) : 0;
    cr_expect(fabs(count - n) <= error + 0.01 * n + 0.5, "%s: %.0f waits, should be %.0f +- %.0f",
              site, count, n, error);
}

static void sampled(const char *env, double rate) {
    struct e2e r = waits(env, "waits sampled %d", is_long() ? 1000000 : 200000, 0);
    double middle = e2e_number(&r, "middle"), longest = e2e_number(&r, "long");
    double middle_least = middle - e2e_number(&r, "middle_doubtful"),
           longest_least = longest - e2e_number(&r, "long_doubtful");
    double waited = total(&r, block_file, "waited_ns");
    double profile = e2e_ask(&r, block_file, "--total");
    cr_expect(fabs(profile - waited) <= four_errors(rate, waited), "profile %.3f ms, waited %.3f",
              profile / 1e6, waited / 1e6);
    site_is_true(&r, "middle", "middle_wait", rate, middle_least, middle);
    site_is_true(&r, "long", "long_wait", rate, longest_least, longest);
    /* How long the short ones took cannot be measured from outside: a call costs as much as they
     * wait. */
    double shorts = waited - (ask(&r, block_file, "--share %s", "middle_wait") +
                              ask(&r, block_file, "--share %s", "long_wait")) *
                                 profile;
    site_is_true(&r, "short", "short_wait", rate, shorts, shorts);
    e2e_done(&r);
}

Test(sampling, sites_at_1_us) { sampled("CPROF=block=1us", 1e3); }
Test(sampling, sites_at_10_us) { sampled("CPROF=block=10us", 1e4); }
Test(sampling, sites_at_100_us) { sampled("CPROF=block=100us", 1e5); }

/* Both files of a crowd against its exact totals. */
Test(sampling, crowd_at_the_usual_rate) {
    struct e2e r = waits("CPROF=mutex=100us,block=100us", "waits crowd %d %d", 16, 10000);
    double charged = total(&r, mutex_file, "charged_ns"),
           waited = total(&r, mutex_file, "waited_ns");
    double mutex = e2e_ask(&r, mutex_file, "--total"), block = e2e_ask(&r, block_file, lock_kinds);
    cr_expect(fabs(mutex - charged) <= four_errors(1e5, charged) + 16 * 1e5,
              "mutex profile %.3f ms, charged %.3f", mutex / 1e6, charged / 1e6);
    cr_expect(fabs(block - waited) <= four_errors(1e5, waited) + 16 * 1e5,
              "block profile %.3f ms, waited %.3f", block / 1e6, waited / 1e6);
    e2e_done(&r);
}

/* A piece of blame that became a sample is passed on as one, with its weight: up to seven others
 * wait for the same time, so that each hit stands for that many. */
Test(sampling, queues_at_the_usual_rate) {
    struct e2e r = waits("CPROF=mutex=100us,block=100us", "waits queues %d %d", 8, 20000);
    double charged = total(&r, mutex_file, "charged_ns");
    double mutex = e2e_ask(&r, mutex_file, "--total");
    cr_expect(fabs(mutex - charged) <= four_errors(7e5, charged) + 8 * 7e5,
              "mutex profile %.3f ms, charged %.3f", mutex / 1e6, charged / 1e6);
    e2e_done(&r);
}

/* What the host measured around its calls contains the waits, and little else: its waits of 5 ms.
 */
Test(sampling, waited_is_what_the_host_measured) {
    struct e2e r = waits("CPROF=mutex=10ms,block=10ms", "waits relock %d", 40, 0);
    double waited = total(&r, mutex_file, "waited_ns"), held = e2e_number(&r, "held");
    cr_expect(waited >= 0.99 * held, "waited %.1f ms, held %.1f ms", waited / 1e6, held / 1e6);
    e2e_done(&r);
}
