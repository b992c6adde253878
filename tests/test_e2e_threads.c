/* Threads begin and end as they would without us: see hosts/threads.c. */
#include <criterion/criterion.h>

#include "tests/e2e.h"

#define FAST "CPROF=cpu=1000hz"

Test(threads, a_constructor_that_waits_for_its_thread_under_dlopen) {
    struct e2e r = e2e_same(FAST, "threads constructor " HOSTS "/threads_plugin.so");
    e2e_done(&r);
}
Test(threads, destructors_of_keys_are_profiled) {
    struct e2e r = e2e_same(FAST, "threads destructor");
    cr_expect(e2e_ask(&r, "*-cpu-1.pb.gz", "--share burn_at_end") > 0.8);
    e2e_done(&r);
}
Test(threads, every_key_is_the_programs) {
    struct e2e r = e2e_same(FAST, "threads keys");
    e2e_done(&r);
}
/* The agent's thread would be the last one, deaf to SIGTERM, for ever. */
Test(threads, the_agents_thread_ends_with_the_last_that_ends_by_a_system_call) {
    struct e2e r = e2e_same(FAST, "threads bare");
    e2e_done(&r);
}
/* Nothing is called there any more, however much was sampled before. */
Test(threads, a_thread_that_ends_in_a_sandbox_is_not_killed) {
    struct e2e r = e2e_same("CPROF=cpu=1000hz,heap,mutex,block", "threads sandbox");
    cr_expect_eq(e2e_certain(&r, "*-cpu-*"), 1);
    e2e_done(&r);
}
/* The agent's thread is waited for by all of them, and joined by one: one run in ten ended badly.
 */
Test(threads, all_may_enter_a_sandbox_at_once) {
    struct e2e r =
        e2e_run("CPROF=mutex", "/bin/sh -c 'for i in 1 2 3 4 5 6; do for j in 1 2 3 4 5 6; "
                               "do " HOSTS "/threads sandboxes || exit 1; done; done'");
    cr_expect_eq(r.status, 0, "%s", r.err);
    e2e_done(&r);
}
/* Rows of threads that are gone would fill the tables: 0.7 MiB of these would be [other]. */
Test(threads, a_thread_for_each_request_leaves_memory_for_stacks) {
    struct e2e r = e2e_same("CPROF=cpu=1000hz CPROF_MEMORY=1m", "threads requests");
    cr_expect(e2e_ask(&r, "*-cpu-1.pb.gz", "--share request") > 0.9);
    e2e_done(&r);
}
