#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

#include "agent/filter.h"
#include "agent/live.h"
#include "common/arena.h"
#include "common/rng.h"

static struct live live;
static struct arena arena;

static struct live_block block(uintptr_t at, uint64_t size) {
    return (struct live_block){.at = at, .size = size, .rate = 33};
}

static enum live_put put(uintptr_t at, uint64_t size) {
    struct live_block b = block(at, size), old;
    return live_put(&live, &arena, &b, &old);
}

static bool take(uintptr_t at, struct live_block *ret) { return live_take(&live, (void *)at, ret); }

Test(live, empty_has_nothing) {
    struct live_block b;
    cr_assert(!take(0x1000, &b));
    cr_assert(!take(0, &b));
}

Test(live, block_comes_out_as_it_went_in) {
    struct live_block in = {.at = 0x7fffdeadbee0,
                            .rate = 2047,
                            .row = 0x7f0012345670,
                            .size = ((uint64_t)1 << 48) - 1,
                            .born_hi = 0x1234,
                            .born_lo = 0x5678},
                      old, out;
    cr_assert_eq(live_put(&live, &arena, &in, &old), LIVE_PUT);
    cr_assert(take(0x7fffdeadbee0, &out));
    cr_assert_arr_eq(&in, &out, sizeof in);
    cr_assert_eq(live_born(&out), 0x12345678);
    cr_assert(!take(0x7fffdeadbee0, &out));
}

Test(live, address_entered_twice_gives_the_missed_one_back) {
    struct live_block b = block(0x1000, 2), old, out;
    put(0x1000, 1);
    cr_assert_eq(live_put(&live, &arena, &b, &old), LIVE_REPLACED);
    cr_assert_eq(old.size, 1);
    cr_assert_eq(live.n, 1);
    cr_assert(take(0x1000, &out));
    cr_assert_eq(out.size, 2);
    cr_assert(!filter_maybe((void *)0x1000));
}

Test(live, filter_knows_every_block_and_forgets_it) {
    struct live_block out;
    put(0x4000, 1);
    cr_assert(filter_maybe((void *)0x4000));
    take(0x4000, &out);
    cr_assert(!filter_maybe((void *)0x4000));
}

Test(live, without_memory_a_block_is_refused_and_leaves_no_trace) {
    struct arena full = {.limit = 1};
    struct live_block b = block(0x1000, 1), old;
    cr_assert_eq(live_put(&live, &full, &b, &old), LIVE_REFUSED);
    cr_assert_eq(live.n, 0);
    cr_assert(!filter_maybe((void *)0x1000));
}

Test(live, lookups_end_when_there_is_no_memory_to_grow) {
    struct arena small = {.limit = 64 * 4096};
    struct live_block b, old;
    unsigned refused = 0;
    for (unsigned i = 1; i <= 20000; i++) {
        b = block(i * 64, i);
        refused += live_put(&live, &small, &b, &old) == LIVE_REFUSED;
    }
    cr_assert_gt(refused, 0);
    for (unsigned i = 1; i <= 20000; i++)
        refused += take(i * 64, &b);
    cr_assert_eq(refused, 20000);
}

enum { MODEL = 50000 };

/* Against an array that cannot be wrong: half a million random steps. */
Test(live, behaves_as_a_model_does) {
    static uint64_t model[MODEL];
    struct rng r = {42};
    uint64_t expected = 0;
    for (unsigned step = 0; step < 500000; step++) {
        unsigned i = (unsigned)rng_below(&r, MODEL);
        uintptr_t at = 0x550000000000 + (uintptr_t)i * 16;
        struct live_block out;
        if (model[i]) {
            cr_assert(take(at, &out));
            cr_assert_eq(out.size, model[i]);
            model[i] = 0;
            expected--;
        } else {
            cr_assert(!take(at, &out));
            model[i] = step + 1;
            cr_assert_eq(put(at, step + 1), LIVE_PUT);
            expected++;
        }
        cr_assert_eq(live.n, expected);
    }
}

static void add_size(const struct live_block *b, void *arg) { *(uint64_t *)arg += b->size; }

Test(live, each_sees_every_block_once) {
    uint64_t sum = 0;
    for (unsigned i = 1; i <= 1000; i++)
        put(i * 32, i);
    live_each(&live, add_size, &sum);
    cr_assert_eq(sum, 500500);
}

Test(live, filter_grows_with_the_blocks_and_stays_sparse) {
    for (unsigned i = 1; i <= 100000; i++)
        put(i * 48, i);
    cr_assert_geq(filter_slots(), 100000u * FILTER_LOAD / 2);
    uint64_t taken = 0;
    for (uint64_t slot = 0; slot < filter_slots(); slot++)
        taken += filter.now[slot] != 0;
    cr_assert_leq((double)taken / (double)filter_slots(), 0.06);
    for (unsigned i = 1; i <= 100000; i++)
        cr_assert(filter_maybe((void *)(uintptr_t)(i * 48)));
}

Test(live, after_all_frees_the_grown_filter_is_empty) {
    struct live_block out;
    for (unsigned i = 1; i <= 50000; i++)
        put(i * 48, i);
    for (unsigned i = 1; i <= 50000; i++)
        cr_assert(take(i * 48, &out));
    for (uint64_t slot = 0; slot < filter_slots(); slot++)
        cr_assert_eq(filter.now[slot], 0);
    for (unsigned page = 0; page < FILTER_PAGES; page++)
        cr_assert_eq(filter_pages[page], 0);
    cr_assert_eq(live.n, 0);
}

/* Table and filter together; what rows and stacks take is theirs. */
Test(live, block_costs_at_most_a_hundred_bytes) {
    for (unsigned i = 1; i <= 300000; i++) {
        put((uintptr_t)i * 16, i);
        if (i >= 8000 && i % 1000 == 0)
            cr_assert_leq(arena_mapped(&arena) / i, 100, "%zu bytes for %u blocks",
                          arena_mapped(&arena), i);
    }
}

struct worker {
    pthread_t thread;
    unsigned first;
    unsigned wrong;
};

enum { WORKERS = 4, EACH = 20000, ROUNDS = 6 };

/* Each has addresses of its own, between those of the others. */
static void *put_and_take(void *arg) {
    struct worker *w = arg;
    struct live_block out;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < EACH; i++)
            w->wrong += put(((uintptr_t)i * WORKERS + w->first + 1) * 16, i + round) != LIVE_PUT;
        for (unsigned i = 0; i < EACH; i++) {
            uintptr_t at = ((uintptr_t)i * WORKERS + w->first + 1) * 16;
            w->wrong += !filter_maybe((void *)at);
            w->wrong += !take(at, &out) || out.size != i + round;
        }
    }
    return NULL;
}

Test(live, threads_find_all_of_theirs_while_table_and_filter_grow) {
    struct worker w[WORKERS] = {0};
    for (unsigned i = 0; i < WORKERS; i++) {
        w[i].first = i;
        pthread_create(&w[i].thread, NULL, put_and_take, &w[i]);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(w[i].thread, NULL);
        cr_assert_eq(w[i].wrong, 0);
    }
    cr_assert_eq(live.n, 0);
    for (uint64_t slot = 0; slot < filter_slots(); slot++)
        cr_assert_eq(filter.now[slot], 0);
}

Test(live, reset_empties_it) {
    struct live_block out;
    for (unsigned i = 1; i <= 1000; i++)
        put(i * 16, i);
    live_reset(&live);
    cr_assert(!take(16, &out));
    cr_assert_eq(put(16, 1), LIVE_PUT);
}
