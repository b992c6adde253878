#include "agent/signal.h"

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"

static void handler(int sig) {}
static void other_handler(int sig) {}

static void start(void) {
    log_to.level = LOG_ERROR;
    agent.pid = getpid();
    atomic_store(&agent.state, AGENT_ON);
    signals_start(SIGNAL_AUTO, true);
}

static void start_insisting(void) {
    log_to.level = LOG_ERROR;
    agent.pid = getpid();
    atomic_store(&agent.state, AGENT_ON);
    signals_start(SIGUSR1, false);
}

static enum signals_verdict set(int sig, void (*h)(int)) {
    struct sys_sigaction act = {.handler = h}, old;
    enum signals_verdict v = signals_host_action(sig, &act, &old);
    if (v == SIGNALS_NOT_OURS)
        signals_note(sig, &act);
    return v;
}

static bool kernel_has_ours(int sig) {
    struct sys_sigaction now;
    cr_assert_eq(sys_sigaction(sig, NULL, &now), 0);
    return now.handler != SIG_DFL && now.handler != SIG_IGN && now.handler != handler &&
           now.handler != other_handler;
}

Test(signal, the_host_hears_the_default_where_our_handler_is, .init = start) {
    struct sys_sigaction old = {.handler = handler};
    cr_assert(kernel_has_ours(SIGUSR2));
    cr_assert_eq(signals_host_action(SIGUSR2, NULL, &old), SIGNALS_KEPT);
    cr_assert_eq(old.handler, SIG_DFL);
}

Test(signal, a_host_that_handles_the_dump_signal_gets_it, .init = start) {
    cr_assert_eq(set(SIGUSR2, handler), SIGNALS_GIVEN);
    cr_assert_eq(set(SIGUSR2, other_handler), SIGNALS_GIVEN);
}

Test(signal, a_host_that_goes_back_to_the_default_gives_it_back, .init = start) {
    cr_assert_eq(set(SIGUSR2, SIG_DFL), SIGNALS_KEPT);
    cr_assert(kernel_has_ours(SIGUSR2));
}

Test(signal, a_runtime_that_handles_everything_alike_does_not_take_it, .init = start) {
    for (int sig = 1; sig < 32; sig++)
        if (sig != SIGKILL && sig != SIGSTOP)
            set(sig, handler);
    cr_assert(kernel_has_ours(SIGUSR2));
    struct sys_sigaction old;
    cr_assert_eq(signals_host_action(SIGUSR2, NULL, &old), SIGNALS_KEPT);
    cr_assert_eq(old.handler, handler);
}

Test(signal, a_dump_signal_that_the_user_named_stays_ours, .init = start_insisting) {
    cr_assert_eq(set(SIGUSR1, handler), SIGNALS_KEPT);
    cr_assert(kernel_has_ours(SIGUSR1));
}

Test(signal, an_ignored_dump_signal_is_left_alone) {
    signal(SIGUSR2, SIG_IGN);
    start();
    cr_assert_not(kernel_has_ours(SIGUSR2));
    cr_assert_eq(agent.signals.dump, 0);
}

Test(signal, samples_take_the_first_free_realtime_signal, .init = start) {
    cr_assert_eq(signals_take_sampling(), SIGRTMIN);
    cr_assert(kernel_has_ours(SIGRTMIN));
}

Test(signal, a_realtime_signal_that_is_handled_already_is_passed_over) {
    signal(SIGRTMIN, handler);
    start();
    cr_assert_eq(signals_take_sampling(), SIGRTMIN + 1);
}

Test(signal, samples_move_when_the_host_wants_their_number, .init = start) {
    int sig = signals_take_sampling();
    cr_assert_eq(set(sig, handler), SIGNALS_KEPT);
    cr_assert_neq(agent.signals.sampling, sig);
    cr_assert(kernel_has_ours(sig), "a sample on its way must not reach the host");
}

static volatile sig_atomic_t calls;
static void counts(int sig) { calls++; }

Test(signal, what_is_not_ours_reaches_the_hosts_handler, .init = start) {
    int sig = signals_take_sampling();
    set(sig, counts);
    raise(sig);
    kill(getpid(), sig);
    cr_assert_eq(calls, 2);
}

Test(signal, an_unhandled_realtime_signal_still_kills, .init = start, .signal = 34) {
    raise(signals_take_sampling());
}

Test(signal, ending_signals_go_to_the_host_as_soon_as_it_handles_them, .init = start) {
    cr_assert(kernel_has_ours(SIGTERM));
    cr_assert_eq(set(SIGTERM, handler), SIGNALS_GIVEN);
}

Test(signal, most_realtime_signals_together_mean_everything) {
    cr_assert(signals_is_blanket(~(uint64_t)0));
    cr_assert_not(signals_is_blanket(sys_sigbit(34)));
    cr_assert_not(signals_is_blanket(sys_sigbit(34) | sys_sigbit(35) | 0x7fffffff));
}

Test(signal, a_child_on_our_memory_changes_its_own_actions_only, .init = start_insisting) {
    struct sys_sigaction old;
    set(SIGUSR1, handler);
    agent.pid++; /* from now on this is the child */
    cr_assert_eq(set(SIGUSR1, SIG_DFL), SIGNALS_GIVEN);
    cr_assert_eq(set(SIGUSR2, other_handler), SIGNALS_NOT_OURS);
    agent.pid--;
    cr_assert_eq(signals_host_action(SIGUSR1, NULL, &old), SIGNALS_KEPT);
    cr_assert_eq(old.handler, handler);
    cr_assert_neq(agent.signals.host[SIGUSR2].handler, other_handler);
}
