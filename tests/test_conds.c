#include "agent/conds.h"

#include <criterion/criterion.h>

static struct conds conds;
static struct waiters waiters;
static int cond, other, mutex;

static uint64_t charge(uint64_t now) { return waiters_release(&waiters, &mutex, now); }

Test(conds, a_signal_moves_one_waiter_to_the_mutex) {
    conds_enter(&conds, &cond, &mutex);
    conds_enter(&conds, &cond, &mutex);
    cr_assert_eq(conds_signal(&conds, &waiters, &cond, 100, false), 1);
    cr_assert_eq(charge(130), 30);
}

Test(conds, a_broadcast_moves_all) {
    for (int i = 0; i < 5; i++)
        conds_enter(&conds, &cond, &mutex);
    cr_assert_eq(conds_signal(&conds, &waiters, &cond, 100, true), 5);
    cr_assert_eq(charge(130), 5 * 30);
}

Test(conds, a_signal_for_nobody_moves_nobody) {
    cr_assert_not(conds_maybe(&conds, &cond));
    cr_assert_eq(conds_signal(&conds, &waiters, &cond, 100, true), 0);
    conds_enter(&conds, &other, &mutex);
    cr_assert_eq(conds_signal(&conds, &waiters, &cond, 100, true), 0);
}

Test(conds, who_was_signaled_already_is_not_moved_again) {
    conds_enter(&conds, &cond, &mutex);
    cr_assert_eq(conds_signal(&conds, &waiters, &cond, 100, false), 1);
    cr_assert_eq(conds_signal(&conds, &waiters, &cond, 110, true), 0);
}

Test(conds, who_returns_learns_the_time_of_the_oldest_signal) {
    for (int i = 0; i < 3; i++)
        conds_enter(&conds, &cond, &mutex);
    conds_signal(&conds, &waiters, &cond, 100, false);
    conds_signal(&conds, &waiters, &cond, 200, true);
    cr_assert_eq(conds_leave(&conds, &cond, true), 100);
    cr_assert_eq(conds_leave(&conds, &cond, true), 200);
    cr_assert_eq(conds_leave(&conds, &cond, true), 200);
    cr_assert_not(conds_maybe(&conds, &cond));
}

Test(conds, a_timeout_leaves_the_token_to_who_was_signaled) {
    conds_enter(&conds, &cond, &mutex);
    conds_enter(&conds, &cond, &mutex);
    conds_signal(&conds, &waiters, &cond, 100, false);
    cr_assert_eq(conds_leave(&conds, &cond, false), 0);
    cr_assert_eq(conds_leave(&conds, &cond, true), 100);
}

Test(conds, the_last_to_leave_takes_what_is_left) {
    conds_enter(&conds, &cond, &mutex);
    conds_signal(&conds, &waiters, &cond, 100, false);
    cr_assert_eq(conds_leave(&conds, &cond, false), 100);
}

/* More signals outstanding than are told apart: those beyond leave no token, sums stay whole. */
Test(conds, signals_beyond_the_list_are_not_split) {
    unsigned moved = 0, taken = 0;
    for (int i = 0; i < 10; i++)
        conds_enter(&conds, &cond, &mutex);
    for (uint64_t at = 100; at < 110; at++)
        moved += conds_signal(&conds, &waiters, &cond, at, false);
    cr_assert_eq(moved, CONDS_RUNS);
    for (int i = 0; i < 10; i++)
        taken += conds_leave(&conds, &cond, true) != 0;
    cr_assert_eq(taken, CONDS_RUNS);
}

Test(conds, one_condition_may_be_used_with_another_mutex_later) {
    conds_enter(&conds, &cond, &other);
    conds_leave(&conds, &cond, false);
    conds_enter(&conds, &cond, &mutex);
    conds_signal(&conds, &waiters, &cond, 100, false);
    cr_assert_eq(charge(110), 10);
}
