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
