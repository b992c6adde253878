#include "agent/stack.h"

#include <criterion/criterion.h>
#include <pthread.h>

static struct arena arena;
static struct stacks stacks;

Test(stack, same_frames_twice_make_one_stack) {
    const uint64_t pcs[] = {0x1000, 0x2000, 0x3000};
    const struct stack *a = stack_intern(&stacks, &arena, pcs, 3);
    const struct stack *b = stack_intern(&stacks, &arena, pcs, 3);
    cr_assert_not_null(a);
    cr_assert_eq(a, b);
    cr_assert_eq(stacks.chains.n, 1);
}

Test(stack, one_frame_more_is_another_stack) {
    const uint64_t pcs[] = {0x1000, 0x2000, 0x3000};
    cr_assert_neq(stack_intern(&stacks, &arena, pcs, 2), stack_intern(&stacks, &arena, pcs, 3));
}

Test(stack, frames_are_kept_in_order) {
    const uint64_t pcs[] = {7000, 8000, 9000};
    const struct stack *a = stack_intern(&stacks, &arena, pcs, 3);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(a->pcs[i], pcs[i]);
}

Test(stack, a_full_arena_gives_null_and_is_counted) {
    struct arena tiny = {.limit = 256 << 10};
    uint64_t pcs[64] = {0};
    const struct stack *last = (const struct stack *)&arena;
    for (uint64_t i = 1; i < 10000 && last; i++) {
        pcs[0] = i << 12;
        last = stack_intern(&stacks, &tiny, pcs, 64);
    }
    cr_assert_null(last);
    cr_assert_gt(tiny.refused, 0);
    cr_assert_leq(arena_mapped(&tiny), tiny.limit);
}

enum { RACERS = 8, RACE_STACKS = 2000 };
static const struct stack *seen[RACERS][RACE_STACKS];

static void *race(void *arg) {
    const struct stack **mine = arg;
    for (uint64_t i = 0; i < RACE_STACKS; i++) {
        const uint64_t pcs[] = {i << 4 | 0x100000, 0x4000};
        mine[i] = stack_intern(&stacks, &arena, pcs, 2);
    }
    return NULL;
}

Test(stack, threads_that_intern_the_same_frames_get_the_same_stack) {
    pthread_t t[RACERS];
    for (int i = 0; i < RACERS; i++)
        cr_assert_eq(pthread_create(&t[i], NULL, race, seen[i]), 0);
    for (int i = 0; i < RACERS; i++)
        pthread_join(t[i], NULL);
    for (int i = 1; i < RACERS; i++)
        for (int k = 0; k < RACE_STACKS; k++)
            cr_assert_eq(seen[i][k], seen[0][k]);
    cr_assert_eq(stacks.chains.n, RACE_STACKS);
}
