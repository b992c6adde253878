#include <criterion/criterion.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/filter.h"

static void *at(uintptr_t n) { return (void *)(n << 4); }

/* Another address with the slot of p. */
static void *twin(void *p) {
    uintptr_t n = (uintptr_t)p >> 4;
    while (filter_slot(at(++n)) != filter_slot(p)) {
    }
    return at(n);
}

Test(filter, empty_says_no) {
    cr_assert(!filter_maybe(NULL));
    cr_assert(!filter_maybe(at(12345)));
}

Test(filter, entered_pointer_is_found_until_removed) {
    filter_add(at(77));
    cr_assert(filter_maybe(at(77)));
    filter_remove(at(77));
    cr_assert(!filter_maybe(at(77)));
}

Test(filter, removing_one_of_two_in_a_slot_keeps_the_other) {
    void *p = at(1000), *q = twin(p);
    filter_add(p);
    filter_add(q);
    filter_remove(p);
    cr_assert(filter_maybe(q));
}

Test(filter, full_slot_stays_for_ever) {
    for (unsigned i = 0; i < 300; i++)
        filter_add(at(5));
    for (unsigned i = 0; i < 300; i++)
        filter_remove(at(5));
    cr_assert(filter_maybe(at(5)));
}

Test(filter, removing_what_was_never_added_does_not_wrap) {
    filter_remove(at(9));
    cr_assert(!filter_maybe(at(9)));
}

Test(filter, forked_child_keeps_the_counts) {
    filter_add(at(31));
    pid_t pid = fork();
    if (pid == 0)
        _exit(filter_maybe(at(31)) ? 7 : 8);
    int status;
    waitpid(pid, &status, 0);
    cr_assert_eq(WEXITSTATUS(status), 7);
}

static void *add_and_remove(void *arg) {
    for (unsigned i = 0; i < 100000; i++) {
        filter_add(arg);
        filter_remove(arg);
    }
    filter_add(arg);
    return NULL;
}

Test(filter, threads_lose_no_count) {
    pthread_t t[4];
    for (unsigned i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, add_and_remove, at(64));
    for (unsigned i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    cr_assert_eq(filter_counts[filter_slot(at(64))], 4);
}

/* Heap addresses advance by 16 and 4096 alike: no slot may collect more than a few of 4096 of them.
 * A Poisson(1/16) slot exceeds 6 with probability 1e-12 each, 65536 slots: 1e-7. */
Test(filter, neighbouring_blocks_spread_over_the_slots) {
    for (unsigned stride = 1; stride <= 256; stride *= 4) {
        for (unsigned i = 0; i < 4096; i++)
            filter_add(at(0x7f1234560 + (uintptr_t)i * stride));
        for (unsigned i = 0; i < 1 << FILTER_BITS; i++)
            cr_assert_leq(filter_counts[i], 6, "stride %u", stride);
        for (unsigned i = 0; i < 4096; i++)
            filter_remove(at(0x7f1234560 + (uintptr_t)i * stride));
    }
}
