#include <criterion/criterion.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/filter.h"
#include "common/arena.h"
#include "common/pool.h"

static void *at(uintptr_t n) { return (void *)(n << 4); }

static uint8_t count_of(const void *p) { return filter.now[filter_slot(filter.now, p)]; }

/* In an array of so many counters. */
static uint64_t slot_of(unsigned bits, const void *p) {
    return filter_slot((const uint8_t *)(uintptr_t)(64 - bits), p);
}

/* Another address with the slot of p, until there are twice as many. */
static void *twin(void *p) {
    uintptr_t n = (uintptr_t)p >> 4;
    while (slot_of(FILTER_FIRST_BITS, at(++n)) != slot_of(FILTER_FIRST_BITS, p) ||
           slot_of(FILTER_FIRST_BITS + 1, at(n)) == slot_of(FILTER_FIRST_BITS + 1, p)) {
    }
    return at(n);
}

Test(filter, empty_says_no) {
    cr_assert(!filter_maybe(NULL));
    cr_assert(!filter_maybe(at(12345)));
}

Test(filter, entered_pointer_is_found_until_removed) {
    filter_add(at(77), true);
    cr_assert(filter_maybe(at(77)));
    cr_assert(filter_likely(at(77)));
    filter_remove(at(77), true);
    cr_assert(!filter_maybe(at(77)));
    cr_assert(!filter_likely(at(77)));
}

Test(filter, pinned_pointer_is_found_until_unpinned) {
    filter_pin(at(77));
    cr_assert(filter_maybe(at(77)));
    cr_assert(!filter_likely(at(77)));
    filter_unpin(at(77));
    cr_assert(!filter_maybe(at(77)));
}

Test(filter, removing_one_of_two_in_a_slot_keeps_the_other) {
    void *p = at(1000), *q = twin(p);
    filter_add(p, true);
    filter_add(q, true);
    filter_remove(p, true);
    cr_assert(filter_maybe(q));
    cr_assert(filter_likely(q));
}

Test(filter, full_slot_stays_for_ever) {
    for (unsigned i = 0; i < 300; i++)
        filter_add(at(5), true);
    for (unsigned i = 0; i < 300; i++)
        filter_remove(at(5), true);
    cr_assert(filter_maybe(at(5)));
}

Test(filter, removing_what_was_never_added_does_not_wrap) {
    filter_remove(at(9), true);
    cr_assert(!filter_maybe(at(9)));
}

Test(filter, forked_child_keeps_the_counts) {
    filter_add(at(31), true);
    pid_t pid = fork();
    if (pid == 0)
        _exit(filter_maybe(at(31)) ? 7 : 8);
    int status;
    waitpid(pid, &status, 0);
    cr_assert_eq(WEXITSTATUS(status), 7);
}

static void *add_and_remove(void *arg) {
    for (unsigned i = 0; i < 100000; i++) {
        filter_add(arg, true);
        filter_remove(arg, true);
    }
    filter_add(arg, true);
    return NULL;
}

Test(filter, threads_lose_no_count) {
    pthread_t t[4];
    for (unsigned i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, add_and_remove, at(64));
    for (unsigned i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    cr_assert_eq(count_of(at(64)), 4);
}

static void grow(struct arena *a, void *const *carried, unsigned n) {
    cr_assert(filter_grow_begin(a));
    for (unsigned i = 0; i < n; i++)
        filter_carry(carried[i]);
    filter_grow_end(a);
}

/* Blocks of 16 bytes in a row share a counter with 15 others while there are 16 Ki of them, and
 * with 3 while there are 64 Ki. Those further apart, by the distances that allocators know, share
 * it with few: arenas lie 64 MiB apart, huge pages 2 MiB, large blocks any number of pages. */
Test(filter, blocks_in_step_spread_over_the_slots) {
    static const uintptr_t extra[] = {3, 33, 65, 513, 4097, 131328};
    struct arena a = {.limit = 0};
    for (; filter_slots() <= 65536; grow(&a, NULL, 0)) {
        unsigned bytes = (unsigned)(4 << 20) / (unsigned)filter_slots(),
                 n = (unsigned)filter_slots() / 64;
        for (unsigned step = 0; step < 28 + sizeof extra / sizeof *extra; step++) {
            uintptr_t stride = step < 28 ? (uintptr_t)1 << step : extra[step - 28];
            unsigned together = bytes > 16 * stride ? bytes / (16 * (unsigned)stride) : 1;
            for (unsigned i = 0; i < n; i++)
                filter_add(at(0x7f1234560 + i * stride), true);
            for (unsigned i = 0; i < filter_slots(); i++)
                cr_assert_leq(filter.now[i], together + 2, "stride %lu, %lu slots", stride,
                              filter_slots());
            for (unsigned i = 0; i < n; i++)
                filter_remove(at(0x7f1234560 + i * stride), true);
        }
    }
}

/* A line stands for little less than 16 KiB, and they begin anywhere in it. */
Test(filter, what_lies_together_is_asked_of_few_cache_lines) {
    for (uintptr_t begin = 0; begin < 64 << 20; begin += 999983) {
        uint64_t last = UINT64_MAX;
        unsigned lines = 0;
        for (uintptr_t i = 0; i < 15 << 10; i += 16) {
            uint64_t line = slot_of(FILTER_FIRST_BITS, at((0x7f12345600 + begin + i) >> 4)) / 64;
            lines += line != last;
            last = line;
        }
        cr_assert_leq(lines, 2, "%lu", begin);
    }
}

Test(filter, only_frees_in_a_page_with_a_sample_are_looked_at) {
    enum { PAGE = 4096 };
    char *page = (char *)((uintptr_t)0x7f1234560000);
    filter_add(page + 2048, true);
    for (long i = -PAGE; i < 2 * PAGE; i += 16)
        cr_assert_eq(filter_maybe(page + i), i >= 0 && i < PAGE, "%ld", i);
    cr_assert(filter_maybe(page + ((uintptr_t)1 << 32)));
    cr_assert(!filter_likely(page + ((uintptr_t)1 << 32)));
    unsigned likely = 0;
    for (long i = 0; i < PAGE; i += 16)
        likely += filter_likely(page + i);
    cr_assert(likely > 0 && likely <= 256 / 16, "%u", likely);
    filter_remove(page + 2048, true);
    cr_assert(!filter_maybe(page));
}

Test(filter, growing_keeps_what_was_entered) {
    struct arena a = {.limit = 0};
    void *entered[] = {at(1), at(2), at(3)};
    for (unsigned i = 0; i < 3; i++)
        filter_add(entered[i], true);
    for (unsigned doubling = 1; doubling <= 7; doubling++) {
        grow(&a, entered, 3);
        cr_assert_eq(filter_slots(), (1u << FILTER_FIRST_BITS) << doubling);
        for (unsigned n = 1; n <= 3; n++)
            cr_assert(filter_likely(at(n)), "%u after %u doublings", n, doubling);
    }
    for (unsigned i = 0; i < 3; i++)
        filter_remove(entered[i], true);
    for (unsigned n = 1; n <= 3; n++)
        cr_assert(!filter_likely(at(n)) && !filter_maybe(at(n)), "%u", n);
}

Test(filter, block_entered_while_growing_is_found_afterwards) {
    struct arena a = {.limit = 0};
    cr_assert(filter_grow_begin(&a));
    filter_add(at(10), true);
    filter_add(at(12), false); /* its stripe is still to be carried over */
    filter_carry(at(12));
    filter_grow_end(&a);
    cr_assert(filter_likely(at(10)));
    cr_assert(filter_likely(at(12)));
}

Test(filter, block_removed_while_growing_leaves_no_debt) {
    struct arena a = {.limit = 0};
    filter_add(at(20), true);
    cr_assert(filter_grow_begin(&a));
    filter_remove(at(20), false); /* not carried over: the next array does not know it */
    filter_add(twin(at(20)), true);
    cr_assert(filter_likely(at(20)));
    filter_grow_end(&a);
    cr_assert(!filter_likely(at(20)));
}

Test(filter, stops_growing_at_its_largest_size) {
    struct arena a = {.limit = 0};
    for (unsigned bits = FILTER_FIRST_BITS; bits < FILTER_MAX_BITS; bits++)
        grow(&a, NULL, 0);
    cr_assert(!filter_grow_begin(&a));
    cr_assert_eq(filter_slots(), (uint64_t)1 << FILTER_MAX_BITS);
}

Test(filter, without_memory_it_stays_as_it_is) {
    struct arena a = {.limit = 4096};
    filter_add(at(1), true);
    cr_assert(!filter_grow_begin(&a));
    cr_assert(filter_likely(at(1)));
}

/* A block of the pool cannot be listed; its neighbours pay for that, once in a fork child. */
Test(filter, reset_forgets_all_but_what_the_pool_has) {
    struct arena a = {.limit = 0};
    void *small = pool_alloc(100), *large = pool_alloc(1 << 20), *entered[] = {at(1)};
    filter_pin(small);
    filter_pin(large);
    filter_add(at(1), true);
    grow(&a, entered, 1);
    filter_reset();
    cr_assert_eq(filter_slots(), 1 << FILTER_FIRST_BITS);
    cr_assert(!filter_maybe(at(1)));
    cr_assert(!filter_likely(at(1)));
    cr_assert(filter_maybe(small));
    cr_assert(filter_maybe(large));
    cr_assert(filter_maybe((char *)large + (1 << 20) - 1));
    filter_unpin(small);
    cr_assert(filter_maybe(small));
}

Test(filter, reset_works_where_memory_is_locked) {
    filter_add(at(1), true);
    cr_assert_eq(mlock(filter_pages, 1), 0);
    filter_reset();
    cr_assert(!filter_maybe(at(1)));
}
