#include "agent/timer.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t fired;
static void *volatile value;

static void on_timer(int sig, siginfo_t *si, void *context) {
    fired++;
    value = si->si_code == SI_TIMER ? si->si_value.sival_ptr : NULL;
}

static void handle(void) {
    struct sigaction act = {.sa_sigaction = on_timer, .sa_flags = SA_SIGINFO};
    sigaction(SIGRTMIN, &act, NULL);
}

static double cpu(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void burn(double seconds) {
    for (double end = cpu() + seconds; cpu() < end;)
        ;
}

/* A timer fires on scheduler ticks only, and on a busy machine few of them meet this thread. */
static void burn_until_fired(void) {
    for (double end = cpu() + 120; cpu() < end && !fired;)
        ;
}

Test(timer, fires_once_with_its_value_after_cpu_time, .init = handle) {
    int mark, id = timer_make(gettid(), SIGRTMIN, &mark);
    cr_assert_geq(id, 0);
    cr_assert_eq(timer_arm(id, 1000000, 0), 0);
    burn_until_fired();
    burn(0.1);
    cr_assert_eq(fired, 1);
    cr_assert_eq(value, &mark);
    timer_drop(id);
}

Test(timer, fires_again_with_its_period, .init = handle) {
    int id = timer_make(gettid(), SIGRTMIN, NULL);
    timer_arm(id, 1000000, 10000000);
    for (double end = cpu() + 120; cpu() < end && fired < 3;)
        ;
    cr_assert_geq(fired, 3);
    timer_drop(id);
}

Test(timer, does_not_count_sleep, .init = handle) {
    int id = timer_make(gettid(), SIGRTMIN, NULL);
    timer_arm(id, 300000000, 0);
    usleep(600000);
    cr_assert_eq(fired, 0);
    timer_drop(id);
}

Test(timer, a_dropped_timer_is_silent, .init = handle) {
    int id = timer_make(gettid(), SIGRTMIN, NULL);
    timer_arm(id, 100000000, 100000000);
    timer_drop(id);
    burn(0.3);
    cr_assert_eq(fired, 0);
}

Test(timer, a_thread_that_does_not_exist_gets_none) {
    cr_assert_lt(timer_make(0x3fffffff, SIGRTMIN, NULL), 0);
}
