#include <criterion/criterion.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/filter.h"
#include "common/arena.h"

static void *at(uintptr_t n) { return (void *)(n << 4); }

static uint8_t count_of(const void *p) { return filter.now[filter_slot(filter.now, p)]; }

/* Another address with the slot of p. */
static void *twin(void *p) {
    uintptr_t n = (uintptr_t)p >> 4;
    while (filter_slot(filter.now, at(++n)) != filter_slot(filter.now, p)) {
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

/* Heap addresses advance by 16 and 4096 alike: no slot may collect more than a few of 4096 of them.
 * A Poisson(1/16) slot exceeds 6 with probability 1e-12 each, 65536 slots: 1e-7. */
Test(filter, neighbouring_blocks_spread_over_the_slots) {
    struct arena a = {.limit = 0};
    while (filter_slots() < 65536)
        grow(&a, NULL, 0);
    for (unsigned stride = 1; stride <= 65536; stride *= 4) {
        for (unsigned i = 0; i < 4096; i++)
            filter_add(at(0x7f1234560 + (uintptr_t)i * stride), true);
        for (unsigned i = 0; i < filter_slots(); i++)
            cr_assert_leq(filter.now[i], 6, "stride %u", stride);
        for (unsigned i = 0; i < 4096; i++)
            filter_remove(at(0x7f1234560 + (uintptr_t)i * stride), true);
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
    filter_grow_end(&a);
    cr_assert(!filter_maybe(at(20)) ||
              filter_slot(filter.now, at(20)) == filter_slot(filter.now, twin(at(20))));
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
    filter_pin(at(2));
    grow(&a, entered, 1);
    filter_reset();
    cr_assert_eq(filter_slots(), 1 << FILTER_FIRST_BITS);
    cr_assert(!filter_maybe(at(1)));
    cr_assert(filter_maybe(at(2)));
    filter_unpin(at(2));
    cr_assert(!filter_maybe(at(2)));
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
