#include <criterion/criterion.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/drop.h"
#include "agent/kind.h"
#include "agent/thread.h"

/* Between its name in /proc and its timer a thread may end. */
Test(kind_cpu, thread_that_ended_meanwhile_is_no_complaint) {
    const struct kind *cpu = kinds[KIND_cpu];
    agent.pid = getpid();
    cr_assert_eq(cpu->start(100), 0);
    struct thread *t = thread_add(0x3fffffff, true, 0);
    cr_assert_not_null(t);
    cpu->thread_begin(t);
    cr_expect_eq(agent.dropped[DROP_TIMER], 0);
    cr_expect_eq(atomic_load(&agent.threads.timers), 0);
    cr_expect(!cpu->has_samples());
}
