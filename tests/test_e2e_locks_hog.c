/*
 * Who is to blame: the mutex profile stands on the stack of the one who held the lock, the block
 * profile on the stacks of those who waited. The hosts (hosts/hog.h) make rounds in which all
 * victims sleep while the hog burns, and say how long that was: the truth does not depend on the
 * machine's load.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/e2e.h"

static const char exact[] = "CPROF=mutex=1ns,block=1ns";
static const char usual[] = "CPROF=mutex,block";

static bool is_long(void) { return getenv("CPROF_TEST_LONG") != NULL; }

static struct e2e hog(const char *env, const char *host, const char *lock) {
    char command[64];
    snprintf(command, sizeof command, "%s %s %d", host, lock, is_long() ? 400 : 15);
    e2e_timeout_s = 300;
    return e2e_same(env, command);
}

/* What the hog held its lock for while all victims waited, and what they can at most have waited
 * for each other, behind the release: next to nothing, but a victim that loses its processor with
 * the lock in its hands holds it too. */
struct truth {
    double held, after;
};

static double least(struct truth t) { return fmin(0.97, t.held / (t.held + t.after)); }

/* The hog's part of all the time that its victims waited, and the victims' part of all waits. */
static void blamed(struct e2e *r, const char *mutex_file, const char *block_file,
                   const char *release, const char *pass, const char *kinds, struct truth t) {
    char question[128];
    snprintf(question, sizeof question, "--share %s", release);
    double share = e2e_ask(r, mutex_file, question);
    if (share < least(t)) {
        char *top = e2e_pprof_top(r, mutex_file);
        cr_expect_fail("%s has %.1f %% of the mutex profile, not %.1f\n%s", release, share * 100,
                       least(t) * 100, top);
        free(top);
    }
    snprintf(question, sizeof question, "--where %s --share %s", kinds, pass);
    share = e2e_ask(r, block_file, question);
    cr_expect(share >= least(t), "%s has %.1f %% of the block profile, not %.1f", pass, share * 100,
              least(t) * 100);
}

/* Everything is kept at 1 ns: what the hog is charged is at least what it measured. */
static void charged_in_full(struct e2e *r, const char *file, const char *release, double held) {
    char question[64];
    snprintf(question, sizeof question, "--share %s", release);
    double charged = e2e_ask(r, file, question) * e2e_ask(r, file, "--total");
    cr_expect(charged >= 0.999 * held, "charged %.1f ms, held %.1f ms", charged / 1e6, held / 1e6);
}

static struct e2e judged(const char *env, const char *host, const char *lock, const char *kinds) {
    struct e2e r = hog(env, host, lock);
    struct truth t = {e2e_number(&r, "held"), e2e_number(&r, "after")};
    blamed(&r, "*-mutex-1.pb.gz", "*-block-1.pb.gz", "hog_release", "victim_pass", kinds, t);
    charged_in_full(&r, "*-mutex-1.pb.gz", "hog_release", t.held);
    return r;
}

static void one_hog(const char *host, const char *lock, const char *kinds) {
    struct e2e r = judged(exact, host, lock, kinds);
    e2e_done(&r);
}

Test(hog, mutex) { one_hog("hog", "mutex", "kind=mutex"); }
Test(hog, mutex_with_time_limits) { one_hog("hog", "timed", "kind=mutex"); }
Test(hog, writer_of_a_rwlock) { one_hog("hog", "writer", "'kind=rwlock-read|rwlock-write'"); }
Test(hog, reader_of_a_rwlock) { one_hog("hog", "reader", "kind=rwlock-write"); }
Test(hog, lock_released_inside_cond_wait) { one_hog("hog", "cond", "kind=mutex"); }
Test(hog, c11_mutex) { one_hog("hog", "c11", "kind=mutex"); }
Test(hog, lock_upon_the_futex_call) { one_hog("hog", "futex", "kind=futex"); }
Test(hog, lock_whose_waiters_sleep_on_words_of_their_own) { one_hog("hog", "queue", "kind=futex"); }

/* The inner unlocks of a recursive mutex release nothing. */
Test(hog, recursive_mutex) {
    struct e2e r = judged(exact, "hog", "recursive", "kind=mutex");
    cr_expect(e2e_ask(&r, "*-mutex-1.pb.gz", "--share inner_unlocks") == 0);
    e2e_done(&r);
}

/* The waits are as long as fifty samples apart: the grid hits every one of them. */
Test(hog, mutex_at_the_usual_rate) {
    struct e2e r = judged(usual, "hog", "mutex", "kind=mutex");
    e2e_done(&r);
}

Test(hog, std_mutex) { one_hog("hog_cpp", "mutex", "kind=mutex"); }
Test(hog, std_recursive_timed_mutex) { one_hog("hog_cpp", "timed", "kind=mutex"); }
Test(hog, std_shared_mutex) { one_hog("hog_cpp", "shared", "'kind=rwlock-read|rwlock-write'"); }
Test(hog, std_condition_variable) { one_hog("hog_cpp", "cond", "kind=mutex"); }

static bool there(const char *program) {
    int status;
    free(e2e_shell(&status, "command -v %s", program));
    return status == 0;
}

/* A program per lock, so that each has files of its own. */
static void rust_hogs(const char *script) {
    static const char *const locks[] = {"mutex", "rwlock"};
    char command[64], mutex_file[64], block_file[64], question[64];
    snprintf(command, sizeof command, "%s %d", script, is_long() ? 400 : 15);
    e2e_timeout_s = 300;
    struct e2e r = e2e_same_driven(exact, command);
    for (int i = 0; i < 2; i++) {
        snprintf(mutex_file, sizeof mutex_file, "cprof-hog_%s-*-mutex-1.pb.gz", locks[i]);
        snprintf(block_file, sizeof block_file, "cprof-hog_%s-*-block-1.pb.gz", locks[i]);
        struct truth t;
        snprintf(question, sizeof question, "held_%s", locks[i]);
        t.held = e2e_number(&r, question);
        snprintf(question, sizeof question, "after_%s", locks[i]);
        t.after = e2e_number(&r, question);
        blamed(&r, mutex_file, block_file, "hog::hog_release", "hog::victim_pass", "kind=futex", t);
        charged_in_full(&r, mutex_file, "hog::hog_release", t.held);
    }
    e2e_done(&r);
}

Test(hog, rust_mutex_and_rwlock) {
    e2e_need(there("rustc"), "rustc");
    rust_hogs("rust_hog.sh");
}

Test(hog, parking_lot) {
    e2e_need(there("cargo"), "cargo");
    rust_hogs("parking_lot_hog.sh");
}
