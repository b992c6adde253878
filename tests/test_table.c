#include "agent/table.h"

#include <criterion/criterion.h>
#include <pthread.h>

static struct arena arena;
static struct stacks stacks;
static struct table table;

static const struct stack *stack(uint64_t pc) { return stack_intern(&stacks, &arena, &pc, 1); }

Test(table, same_key_twice_makes_one_row) {
    struct who who = {.tid = 7};
    cr_assert_eq(table_row(&table, &arena, stack(0x1000), &who, 0),
                 table_row(&table, &arena, stack(0x1000), &who, 0));
    cr_assert_eq(table.chains.n, 1);
}

Test(table, each_part_of_the_key_tells_rows_apart) {
    struct who a = {.tid = 1}, b = {.tid = 2};
    struct row *r = table_row(&table, &arena, stack(0x1000), &a, 0);
    cr_assert_neq(r, table_row(&table, &arena, stack(0x2000), &a, 0));
    cr_assert_neq(r, table_row(&table, &arena, stack(0x1000), &b, 0));
    cr_assert_neq(r, table_row(&table, &arena, stack(0x1000), &a, 1));
}

Test(table, without_memory_everything_goes_to_other) {
    struct arena none = {.limit = 1};
    struct row *r = table_row(&table, &none, stack(0x1000), NULL, 0);
    cr_assert_eq(r, &table.other);
    cr_assert_eq(table_row(&table, &arena, NULL, NULL, 0), &table.other);
}

static void add_up(struct row *r, void *arg) { *(int64_t *)arg += r->sums[1]; }

enum { RACERS = 8, ADDS = 20000 };

static void *race(void *arg) {
    for (uint64_t i = 0; i < ADDS; i++)
        row_add(table_row(&table, &arena, stack(0x1000 * (1 + i % 97)), NULL, 0), 1, 3);
    return NULL;
}

Test(table, nothing_is_lost_when_threads_add_at_once) {
    pthread_t t[RACERS];
    int64_t sum = 0;
    for (int i = 0; i < RACERS; i++)
        cr_assert_eq(pthread_create(&t[i], NULL, race, NULL), 0);
    for (int i = 0; i < RACERS; i++)
        pthread_join(t[i], NULL);
    table_each(&table, add_up, &sum);
    cr_assert_eq(sum, (int64_t)RACERS * ADDS * 3);
    cr_assert_eq(table.chains.n, 97);
}

Test(table, scaled_sum_keeps_its_fractions) {
    struct row r = {0};
    const uint64_t third = 0x55555555;
    for (unsigned i = 0; i < 3000; i++)
        row_add_scaled(&r, 0, third, 1, false);
    cr_assert_eq(row_scaled(&r, 0), 1000);
    for (unsigned i = 0; i < 3000; i++)
        row_add_scaled(&r, 0, third, 1, true);
    cr_assert_eq(r.sums[0], 0);
    cr_assert_eq(r.parts[0], 0);
}

/* 2^48 bytes that each stand for 2^15: the product needs 128 bits on its way. */
Test(table, scaled_sum_holds_large_blocks) {
    struct row r = {0};
    row_add_scaled(&r, 1, (uint64_t)1 << 47, (uint64_t)1 << 47, false);
    cr_assert_eq(row_scaled(&r, 1), (int64_t)1 << 62);
}

Test(table, fractions_that_fill_their_word_move_to_the_sum) {
    struct row r = {0};
    r.parts[2] = ((int64_t)1 << 61) + 5;
    row_add_scaled(&r, 2, (uint64_t)1 << 32, 1, false);
    cr_assert_eq(r.sums[2], 1 + (1 << 29));
    cr_assert_eq(row_scaled(&r, 2), 1 + (1 << 29));
}
