/* Stacks of whole programs in awkward places: all of them reach main. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/e2e.h"

#define FAST "CPROF=cpu=1000hz"

/* The same output as without us, and at least that part of the time below main and the function. */
static void reaches_main(const char *command, const char *function, double part) {
    struct e2e r = e2e_same(FAST, command);
    char question[64];
    snprintf(question, sizeof question, "--share %s", function);
    double below = e2e_ask(&r, "*", question), whole = e2e_ask(&r, "*", "--share main");
    cr_expect(below >= part, "%s: %.3f below %s", command, below, function);
    cr_expect(whole >= part, "%s: %.3f below main", command, whole);
    e2e_done(&r);
}

Test(stacks_e2e, registered_code_without_frame_pointers) {
    reaches_main("jit burn 300", "jit_caller", 0.95);
}
Test(stacks_e2e, registered_code_and_a_registrar_that_came_with_a_plugin) {
    reaches_main("jit_late burn 300", "jit_caller", 0.95);
}
Test(stacks_e2e, a_place_used_again_by_a_function_with_another_frame) {
    reaches_main("jit reuse 600", "jit_caller", 0.95);
}
Test(stacks_e2e, threads_that_register_and_throw_away_all_the_time) {
    struct e2e r = e2e_same(FAST, "jit storm 300");
    e2e_done(&r);
    r = e2e_same(FAST, "jit_late storm 300");
    e2e_done(&r);
}
Test(stacks_e2e, what_was_registered_reaches_the_real_registrar) {
    struct e2e r = e2e_same("", "jit ask");
    cr_expect_str_eq(r.out, "before 0\nmeanwhile 1\nafter 0\ndone\n");
    e2e_done(&r);
    r = e2e_same("", "jit_late ask");
    cr_expect_str_eq(r.out, "before 0\nmeanwhile 1\nafter 0\ndone\n");
    e2e_done(&r);
}

/* Each at the other's place: as much of the time as it took, and nothing anywhere else. */
Test(stacks_e2e, a_library_in_the_place_of_another_has_its_own_names) {
    struct e2e r = e2e_same(FAST, "swap 20 40");
    cr_assert_str_eq(r.out, "taken over 20\n", "the loader chose other places: %s", r.out);
    double a = e2e_ask(&r, "*", "--share swap_a"), b = e2e_ask(&r, "*", "--share swap_b");
    double took_a = e2e_number(&r, "a"), took_b = e2e_number(&r, "b"), both = took_a + took_b;
    cr_expect(fabs(a - took_a / both) < 0.08, "swap_a has %.3f, not %.3f", a, took_a / both);
    cr_expect(fabs(b - took_b / both) < 0.08, "swap_b has %.3f, not %.3f", b, took_b / both);
    e2e_done(&r);
}

/* A coroutine ends at its own root: nothing is cut but the few instants of a jump between two. */
Test(stacks_e2e, coroutines_of_boost_context) {
    struct e2e r = e2e_same_driven(FAST, "fibers.sh");
    cr_expect(e2e_ask(&r, "*", "--share fiber_work") > 0.45);
    cr_expect(e2e_ask(&r, "*", "--share fiber_throws") > 0.05, "a fifth, less 8 standard errors");
    double cut = e2e_ask(&r, "*", "--share [truncated]");
    cr_expect(cut < 0.05, "%.4f of the time has no end", cut);
    e2e_done(&r);
}

/* The parent's other threads are sampled while a child runs in its memory, which burns CPU, gets a
 * signal, and leaves no trace. */
Test(stacks_e2e, vfork_children_that_burn_and_get_signals) {
    struct e2e r = e2e_same(FAST, "vforked 20");
    cr_expect_eq(r.n_profiles, 1);
    cr_expect(e2e_ask(&r, "*", "--share parent_work") > 0.5);
    cr_expect(e2e_ask(&r, "*", "--share [truncated]") < 0.02);
    e2e_done(&r);
}
