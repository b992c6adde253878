#include <criterion/criterion.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/filter.h"
#include "common/arena.h"

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
    filter_remove(at(77), true);
    cr_assert(!filter_maybe(at(77)));
}

Test(filter, pinned_pointer_is_found_until_unpinned) {
    filter_pin(at(77));
    cr_assert(filter_maybe(at(77)));
    filter_unpin(at(77));
    cr_assert(!filter_maybe(at(77)));
}

Test(filter, removing_one_of_two_in_a_slot_keeps_the_other) {
    void *p = at(1000), *q = twin(p);
    filter_add(p, true);
    filter_add(q, true);
    filter_remove(p, true);
    cr_assert(filter_maybe(q));
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

Test(filter, growing_keeps_what_was_entered_and_what_was_pinned) {
    struct arena a = {.limit = 0};
    void *entered[] = {at(1), at(2), at(3)};
    for (unsigned i = 0; i < 3; i++)
        filter_add(entered[i], true);
    filter_pin(at(4));
    for (unsigned doubling = 1; doubling <= 7; doubling++) { /* beyond that of the pinned counts */
        grow(&a, entered, 3);
        cr_assert_eq(filter_slots(), (1u << FILTER_FIRST_BITS) << doubling);
        for (unsigned n = 1; n <= 4; n++)
            cr_assert(filter_maybe(at(n)), "%u after %u doublings", n, doubling);
    }
    for (unsigned i = 0; i < 3; i++)
        filter_remove(entered[i], true);
    filter_unpin(at(4));
    for (unsigned n = 1; n <= 4; n++)
        cr_assert(!filter_maybe(at(n)), "%u", n);
}

Test(filter, block_entered_while_growing_is_found_afterwards) {
    struct arena a = {.limit = 0};
    cr_assert(filter_grow_begin(&a));
    filter_add(at(10), true);
    filter_pin(at(11));
    filter_add(at(12), false); /* its stripe is still to be carried over */
    filter_carry(at(12));
    filter_grow_end(&a);
    for (unsigned n = 10; n <= 12; n++)
        cr_assert(filter_maybe(at(n)), "%u", n);
}

Test(filter, block_removed_while_growing_leaves_no_debt) {
    struct arena a = {.limit = 0};
    filter_add(at(20), true);
    cr_assert(filter_grow_begin(&a));
    filter_remove(at(20), false); /* not carried over: the next array does not know it */
    filter_add(twin(at(20)), true);
    cr_assert(filter_maybe(at(20)));
    filter_grow_end(&a);
    cr_assert(!filter_maybe(at(20)));
}

/* A few dozen blocks of the loader's stay for ever. */
Test(filter, pinned_blocks_take_their_share_of_no_array_but_the_first) {
    struct arena a = {.limit = 0};
    enum { PINNED = 50 };
    for (unsigned i = 0; i < PINNED; i++)
        filter_pin(at(1000 + i * 7));
    while (filter_slots() < 65536)
        grow(&a, NULL, 0);
    unsigned taken = 0;
    for (uint64_t slot = 0; slot < filter_slots(); slot++)
        taken += filter.now[slot] != 0;
    cr_assert_leq(taken, PINNED);
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
    cr_assert(filter_maybe(at(1)));
}

Test(filter, reset_forgets_all_but_the_pinned) {
    struct arena a = {.limit = 0};
    void *entered[] = {at(1)};
    filter_add(at(1), true);
    filter_pin(at(2000));
    grow(&a, entered, 1);
    filter_reset();
    cr_assert_eq(filter_slots(), 1 << FILTER_FIRST_BITS);
    cr_assert(!filter_maybe(at(1)));
    cr_assert(filter_maybe(at(2000)));
    filter_unpin(at(2000));
    cr_assert(!filter_maybe(at(2000)));
}

struct pinner {
    pthread_t thread;
    unsigned seed;
    _Atomic bool *stop;
    unsigned missing;
};

/* What is pinned must be found, whatever the other thread grows meanwhile. */
static void *pin_and_look(void *arg) {
    struct pinner *p = arg;
    for (uintptr_t i = 1; !*p->stop; i++) {
        void *block = at(p->seed * 1000003u + i % 5000);
        filter_pin(block);
        p->missing += !filter_maybe(block);
        filter_unpin(block);
    }
    return NULL;
}

Test(filter, pinning_while_it_grows_is_never_lost) {
    static _Atomic bool stop;
    struct arena a = {.limit = 0};
    struct pinner p[2] = {{.seed = 1, .stop = &stop}, {.seed = 2, .stop = &stop}};
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&p[i].thread, NULL, pin_and_look, &p[i]);
    for (unsigned round = 0; round < 8; round++) {
        grow(&a, NULL, 0);
        usleep(2000);
    }
    stop = true;
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(p[i].thread, NULL);
        cr_assert_eq(p[i].missing, 0);
    }
}
