/*
 * What locks promise (hosts/rules.h): every call answers the same with and without the agent, in a
 * process of one thread and of several, with every wait recorded and with the usual rate.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/e2e.h"

static void same_rules(const char *host) {
    static const char *const rates[] = {"CPROF=mutex=1ns,block=1ns",
                                        "CPROF=cpu=1000hz,mutex=10us,block=10us", "CPROF=mutex"};
    static const char *const threads[] = {"single", "multi"};
    for (int i = 0; i < 6; i++) {
        char command[64];
        snprintf(command, sizeof command, "%s %s", host, threads[i % 2]);
        struct e2e r = e2e_same(rates[i / 2], command);
        e2e_done(&r);
    }
}

Test(rules, mutexes_spin_locks_and_mtx) { same_rules("rules_mutex"); }
Test(rules, condition_variables) { same_rules("rules_cond"); }
Test(rules, all_the_other_kinds) { same_rules("rules_rest"); }
Test(rules, futexes_by_the_system_call) { same_rules("rules_syscall"); }
Test(rules, exceptions_and_cancellation) { same_rules("rules_cpp"); }
