#include "agent/parked.h"

#include <criterion/criterion.h>

#include "agent/thread.h"

static struct parked table;
static struct thread a = {.tid = 1}, b = {.tid = 2}, c = {.tid = 3};
static char word[2];
static char rows[2];

static struct blamed on(unsigned i) { return (struct blamed){(struct row *)&rows[i], 1, false}; }

static void wait_once(struct thread *t, const void *w, uint64_t now) {
    parked_enter(&table, w, t, now);
    parked_leave(t, now + 1, false);
}

Test(parked, a_word_that_one_thread_waits_for_is_its_own) {
    cr_assert_null(parked_sleeper(&table, &word[0], 10));
    parked_enter(&table, &word[0], &a, 10);
    cr_assert_eq(parked_sleeper(&table, &word[0], 10), &a);
    cr_assert_null(parked_sleeper(&table, &word[1], 10));
    parked_leave(&a, 20, true);
    cr_assert_null(parked_sleeper(&table, &word[0], 20));
}

Test(parked, a_word_that_two_wait_for_is_a_lock) {
    parked_enter(&table, &word[0], &a, 10);
    parked_enter(&table, &word[0], &b, 11);
    cr_assert_null(parked_sleeper(&table, &word[0], 12));
    parked_leave(&a, 20, true);
    cr_assert_null(parked_sleeper(&table, &word[0], 21));
}

Test(parked, a_lock_stays_one_when_its_waiters_come_one_by_one) {
    wait_once(&a, &word[0], 10);
    parked_enter(&table, &word[0], &b, 20);
    cr_assert_null(parked_sleeper(&table, &word[0], 20));
    parked_leave(&b, 30, true);
    parked_enter(&table, &word[0], &a, 40);
    cr_assert_null(parked_sleeper(&table, &word[0], 40));
}

Test(parked, a_word_is_ones_own_again_after_some_waits_alone) {
    wait_once(&a, &word[0], 10);
    for (unsigned i = 0; i < PARKED_STRANGE; i++)
        wait_once(&b, &word[0], 20 + i);
    parked_enter(&table, &word[0], &b, 40);
    cr_assert_eq(parked_sleeper(&table, &word[0], 40), &b);
}

Test(parked, the_word_of_a_thread_that_ended_goes_to_the_next) {
    wait_once(&a, &word[0], 10);
    a.tid = 7; /* another thread in its slot */
    parked_enter(&table, &word[0], &b, 20);
    cr_assert_eq(parked_sleeper(&table, &word[0], 20), &b);
}

Test(parked, a_charge_for_more_than_its_wait_is_not_for_it_alone) {
    parked_enter(&table, &word[0], &a, 10);
    cr_assert_null(parked_sleeper(&table, &word[0], 9));
}

Test(parked, blame_goes_from_sleeper_to_sleeper) {
    struct blamed hog = on(0), mine = on(1);
    static const struct blame none;
    parked_enter(&table, &word[0], &a, 10);
    parked_enter(&table, &word[1], &b, 12);
    parked_blame(&a, &word[0], &none, 10, 50, &hog);
    parked_leave(&a, 53, true);
    cr_assert_eq(blame_own(&a.parker.past, 12, 55), 2);
    parked_blame(&b, &word[1], &a.parker.past, 12, 55, &mine);
    parked_leave(&b, 60, true);
    const struct blame *past = &b.parker.past;
    cr_assert_eq(past->n, 4);
    cr_assert_eq(past->at[0].on.row, hog.row);
    cr_assert_eq(past->at[0].to - past->at[0].from, 38);
    cr_assert(past->at[1].on.nobody, "from 50 to 53 the first was on its way");
    cr_assert_eq(past->at[2].on.row, mine.row);
    cr_assert(past->at[3].on.nobody);
}

/* Who sleeps for a while, holding a lock, chose to: others wait for it. */
Test(parked, a_wait_that_nobody_ended_is_ones_own_doing) {
    wait_once(&a, &word[0], 10);
    parked_enter(&table, &word[0], &a, 20);
    parked_leave(&a, 90, true);
    cr_assert_eq(blame_own(&a.parker.past, 0, 100), 100);
}

Test(parked, who_has_left_is_blamed_for_nothing_more) {
    struct blamed hog = on(0);
    static const struct blame none;
    wait_once(&a, &word[0], 10);
    parked_blame(&a, &word[0], &none, 10, 50, &hog);
    cr_assert_eq(a.parker.wait.n, 0);
}

Test(parked, more_words_than_there_is_room_for_push_out_others) {
    static char many[PARKED_BUCKETS * PARKED_WAYS * 4];
    for (size_t i = 0; i < sizeof many; i++)
        wait_once(&c, &many[i], i);
    parked_enter(&table, &word[0], &a, 10);
    cr_assert_eq(parked_sleeper(&table, &word[0], 10), &a);
}

/* A host may ask for it; the kernel refuses. */
Test(parked, no_word_is_nobodys) {
    wait_once(&a, NULL, 10);
    parked_enter(&table, NULL, &b, 20);
    cr_assert_null(parked_sleeper(&table, NULL, 20));
}

Test(parked, a_holder_that_died_with_a_spin_stops_nobody) {
    for (unsigned i = 0; i < PARKED_BUCKETS; i++)
        atomic_store(&table.buckets[i].spin, 1);
    parked_enter(&table, &word[0], &a, 10);
    cr_assert_null(parked_sleeper(&table, &word[0], 10));
    parked_leave(&a, 20, true);
}
