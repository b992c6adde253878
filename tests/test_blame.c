#include "agent/blame.h"

#include <criterion/criterion.h>

#include "common/rng.h"

/* Rows are never looked into. */
static char rows[1000];
static struct blamed on(unsigned i) { return (struct blamed){(struct row *)&rows[i], 1, false}; }
static const struct blamed nobody = {.nobody = true};

static void add(struct blame *b, uint64_t from, uint64_t to, unsigned i) {
    struct blamed whose = on(i);
    blame_add(b, from, to, &whose);
}

static void is(const struct blame *b, unsigned at, uint64_t from, uint64_t to,
               struct blamed whose) {
    cr_assert_lt(at, b->n);
    cr_expect_eq(b->at[at].from, from);
    cr_expect_eq(b->at[at].to, to);
    cr_expect_eq(b->at[at].on.row, whose.row);
    cr_expect_eq(b->at[at].on.nobody, whose.nobody);
}

static uint64_t sum(const struct blame *b) {
    uint64_t n = 0;
    for (unsigned i = 0; i < b->n; i++)
        n += b->at[i].to - b->at[i].from;
    return n;
}

Test(blame, one_who_never_waited_is_blamed_for_all) {
    struct blame past = {0}, wait = {0};
    struct blamed me = on(1);
    cr_assert_eq(blame_own(&past, 100, 150), 50);
    blame_pass(&past, 100, 150, &me, &wait);
    cr_assert_eq(wait.n, 1);
    is(&wait, 0, 100, 150, me);
}

Test(blame, time_in_which_the_waker_slept_is_passed_on) {
    struct blame past = {0}, wait = {0};
    struct blamed me = on(2);
    add(&past, 110, 140, 1);
    blame_add(&past, 140, 145, &nobody);
    cr_assert_eq(blame_own(&past, 100, 150), 15);
    blame_pass(&past, 100, 150, &me, &wait);
    cr_assert_eq(wait.n, 4);
    is(&wait, 0, 100, 110, me);
    is(&wait, 1, 110, 140, on(1));
    is(&wait, 2, 140, 145, nobody);
    is(&wait, 3, 145, 150, me);
}

Test(blame, only_what_both_waited_is_passed_on) {
    struct blame past = {0}, wait = {0};
    struct blamed me = on(2);
    add(&past, 10, 50, 1);
    add(&past, 90, 120, 1);
    cr_assert_eq(blame_own(&past, 100, 150), 30);
    blame_pass(&past, 100, 150, &me, &wait);
    cr_assert_eq(wait.n, 2);
    is(&wait, 0, 100, 120, on(1));
    is(&wait, 1, 120, 150, me);
}

Test(blame, the_hog_is_blamed_by_all_in_its_queue) {
    struct blame past = {0};
    uint64_t now = 5000, hog = 0;
    for (unsigned victim = 0; victim < 100; victim++) {
        struct blame wait = {0};
        struct blamed me = on(victim);
        blame_pass(&past, 0, now, &me, &wait);
        blame_add(&wait, now, now + 3, &nobody);
        past = (struct blame){0};
        blame_keep(&past, &wait);
        now += 3 + 2; /* its own hold */
        hog += past.at[0].on.row == on(0).row ? past.at[0].to - past.at[0].from : 0;
    }
    cr_assert_geq(hog, 100 * 5000);
    cr_assert_leq(hog, 100 * 5000 * 1.01);
}

Test(blame, pieces_on_the_same_row_are_one) {
    struct blame wait = {0};
    add(&wait, 0, 10, 1);
    add(&wait, 10, 20, 1);
    add(&wait, 20, 30, 2);
    cr_assert_eq(wait.n, 2);
    is(&wait, 0, 0, 20, on(1));
}

Test(blame, of_too_many_pieces_the_shortest_melts_into_its_longer_neighbour) {
    struct blame wait = {0};
    for (unsigned i = 0; i < BLAME_PIECES; i++)
        add(&wait, i * 100, i * 100 + 100, i);
    add(&wait, BLAME_PIECES * 100, BLAME_PIECES * 100 + 10, 99);
    cr_assert_eq(wait.n, BLAME_PIECES);
    is(&wait, BLAME_PIECES - 1, (BLAME_PIECES - 1) * 100, BLAME_PIECES * 100 + 10,
       on(BLAME_PIECES - 1));
}

Test(blame, a_past_forgets_the_oldest) {
    struct blame past = {0};
    for (unsigned i = 0; i < 50; i++) {
        struct blame wait = {0};
        add(&wait, i * 10, i * 10 + 5, i);
        blame_keep(&past, &wait);
    }
    cr_assert_eq(past.n, BLAME_PIECES);
    is(&past, 0, (50 - BLAME_PIECES) * 10, (50 - BLAME_PIECES) * 10 + 5, on(50 - BLAME_PIECES));
    is(&past, BLAME_PIECES - 1, 490, 495, on(49));
}

Test(blame, a_wait_inside_of_another_is_kept_once) {
    struct blame past = {0}, inner = {0}, outer = {0};
    add(&inner, 20, 30, 1);
    add(&outer, 10, 40, 2);
    blame_keep(&past, &inner);
    blame_keep(&past, &outer);
    cr_assert_eq(past.n, 2);
    is(&past, 1, 30, 40, on(2));
}

/* Whatever comes, in whatever order: what is blamed on somebody is the whole wait, pieces touch. */
Test(blame, no_time_is_lost_or_blamed_twice) {
    struct rng rng = {7};
    for (unsigned round = 0; round < 20000; round++) {
        struct blame past = {0}, wait = {0};
        uint64_t at = 0, parts = 0;
        for (unsigned i = 0; i < 12; i++) {
            struct blame one = {0};
            at += rng_below(&rng, 20);
            add(&one, at, at + 1 + rng_below(&rng, 20), (unsigned)rng_below(&rng, 5));
            at = one.at[0].to;
            blame_keep(&past, &one);
        }
        uint64_t from = rng_below(&rng, at), to = from + 1 + rng_below(&rng, at);
        struct blamed me = on(6);
        blame_pass(&past, from, to, &me, &wait);
        cr_assert_eq(sum(&wait), to - from);
        cr_assert_leq(wait.n, BLAME_PIECES);
        for (unsigned i = 0; i + 1 < wait.n; i++)
            cr_assert_eq(wait.at[i].to, wait.at[i + 1].from);
        for (unsigned i = 0; i < past.n; i++) {
            struct blame_piece p;
            parts += blame_cut(&past.at[i], from, to, &p) ? p.to - p.from : 0;
        }
        cr_assert_eq(blame_own(&past, from, to) + parts, to - from);
    }
}
