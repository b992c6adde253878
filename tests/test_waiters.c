#include "agent/waiters.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/rng.h"

static struct waiters table;
static int lock_a, lock_b;

static uint64_t enter(const void *lock, uint64_t now) {
    uint64_t from;
    cr_assert(waiters_enter(&table, lock, now, &from));
    return from;
}

static uint64_t leave(const void *lock, uint64_t from, uint64_t now) {
    uint64_t others = 0;
    return waiters_leave(&table, lock, from, &now, false, &others);
}

Test(waiters, the_holder_pays_for_all_who_waited) {
    enter(&lock_a, 100);
    enter(&lock_a, 130);
    cr_assert_eq(waiters_release(&table, &lock_a, 150), 50 + 20);
}

Test(waiters, nothing_is_charged_twice) {
    enter(&lock_a, 100);
    cr_assert_eq(waiters_release(&table, &lock_a, 150), 50);
    cr_assert_eq(waiters_release(&table, &lock_a, 150), 0);
    cr_assert_eq(waiters_release(&table, &lock_a, 160), 10);
}

Test(waiters, a_release_nobody_waits_for_costs_nothing) {
    cr_assert_not(waiters_maybe(&table, &lock_a));
    cr_assert_eq(waiters_release(&table, &lock_a, 150), 0);
}

Test(waiters, locks_are_told_apart) {
    enter(&lock_a, 100);
    cr_assert_eq(waiters_release(&table, &lock_b, 150), 0);
    cr_assert_eq(waiters_release(&table, &lock_a, 150), 50);
}

Test(waiters, what_lies_behind_the_release_is_latency) {
    uint64_t from = enter(&lock_a, 100);
    waiters_release(&table, &lock_a, 150);
    cr_assert_eq(leave(&lock_a, from, 157), 7);
    cr_assert_not(waiters_maybe(&table, &lock_a));
}

Test(waiters, a_wait_without_a_release_is_all_rest) {
    uint64_t from = enter(&lock_a, 100);
    cr_assert_eq(leave(&lock_a, from, 140), 40);
}

Test(waiters, time_before_the_next_holder_has_it_is_nobodys_fault) {
    uint64_t first = enter(&lock_a, 100), others = 0, now = 170;
    enter(&lock_a, 100);
    waiters_release(&table, &lock_a, 150);
    cr_assert_eq(waiters_leave(&table, &lock_a, first, &now, true, &others), 20);
    cr_assert_eq(others, 20, "the other one waited from 150 to 170 for a lock that nobody held");
    cr_assert_eq(waiters_release(&table, &lock_a, 175), 5);
}

Test(waiters, clocks_of_two_threads_may_arrive_in_either_order) {
    uint64_t from = enter(&lock_a, 100);
    cr_assert_eq(waiters_release(&table, &lock_a, 90), 0);
    cr_assert_eq(leave(&lock_a, from, 95), 0);
    from = enter(&lock_a, 100);
    enter(&lock_a, 100);
    waiters_release(&table, &lock_a, 120);
    cr_assert_eq(enter(&lock_a, 110), 120, "it came before the release that was noted already");
}

Test(waiters, an_address_used_again_starts_afresh) {
    leave(&lock_a, enter(&lock_a, 100), 200);
    enter(&lock_a, 300);
    cr_assert_eq(waiters_release(&table, &lock_a, 310), 10);
}

Test(waiters, a_full_bucket_refuses_and_recovers) {
    static char many[WAITERS_BUCKETS * WAITERS_WAYS * 8];
    unsigned in = 0, refused = 0;
    bool *entered = calloc(sizeof many, sizeof *entered);
    for (size_t i = 0; i < sizeof many; i++) {
        uint64_t from;
        entered[i] = waiters_enter(&table, &many[i], 1, &from);
        in += entered[i];
        refused += !entered[i];
    }
    cr_assert_gt(refused, 0);
    cr_assert_leq(in, WAITERS_BUCKETS * WAITERS_WAYS);
    for (size_t i = 0; i < sizeof many; i++)
        if (entered[i])
            leave(&many[i], 1, 2);
    for (unsigned i = 0; i < WAITERS_BUCKETS; i++)
        cr_assert_eq(table.buckets[i].n, 0);
    free(entered);
}

Test(waiters, a_holder_that_died_with_the_spin_stops_nobody) {
    for (unsigned i = 0; i < WAITERS_BUCKETS; i++)
        atomic_store(&table.buckets[i].spin, 1);
    uint64_t from;
    cr_assert_not(waiters_enter(&table, &lock_a, 1, &from));
    cr_assert_eq(waiters_release(&table, &lock_a, 2), 0);
}

/* The invariant, in a simulation of many threads on few locks with times that may run backwards. */
Test(waiters, charged_and_latency_are_what_was_waited) {
    enum { THREADS = 100, LOCKS = 7, STEPS = 200000 };
    static char locks[LOCKS];
    struct {
        bool waits;
        unsigned lock;
        uint64_t from;
    } t[THREADS] = {0};
    struct rng rng = {1};
    uint64_t now = 1000000, charged = 0, latency = 0, waited = 0;
    for (unsigned i = 0; i < STEPS; i++) {
        unsigned who = (unsigned)rng_below(&rng, THREADS);
        uint64_t at = now + rng_below(&rng, 30);
        now += rng_below(&rng, 20);
        if (rng_below(&rng, 3) == 0) {
            charged += waiters_release(&table, &locks[rng_below(&rng, LOCKS)], at);
        } else if (!t[who].waits) {
            t[who].lock = (unsigned)rng_below(&rng, LOCKS);
            t[who].waits = waiters_enter(&table, &locks[t[who].lock], at, &t[who].from);
        } else {
            uint64_t others = 0;
            latency += waiters_leave(&table, &locks[t[who].lock], t[who].from, &at,
                                     rng_below(&rng, 2), &others);
            latency += others;
            waited += at - t[who].from;
            t[who].waits = false;
        }
    }
    now += 100;
    for (unsigned who = 0; who < THREADS; who++) {
        uint64_t others = 0, at = now;
        if (!t[who].waits)
            continue;
        latency +=
            waiters_leave(&table, &locks[t[who].lock], t[who].from, &at, true, &others) + others;
        waited += at - t[who].from;
    }
    cr_assert_eq(charged + latency, waited);
}
