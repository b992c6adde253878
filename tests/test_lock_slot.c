#include "agent/lock_slot.h"

#include <criterion/criterion.h>
#include <pthread.h>

static struct lock_slot slot;

Test(lock_slot, an_empty_slot_is_no_wait) {
    struct lock_wait_info w;
    unsigned seq;
    cr_assert_not(lock_slot_get(&slot, &w, &seq));
}

Test(lock_slot, what_is_set_is_read) {
    const struct lock_wait_info set = {
        .object = 0x1000, .since_ns = 7, .owner = 9, .kind = LOCK_JOIN};
    struct lock_wait_info w;
    unsigned seq;
    lock_slot_set(&slot, &set);
    cr_assert(lock_slot_get(&slot, &w, &seq));
    cr_assert_eq(w.object, 0x1000);
    cr_assert_eq(w.since_ns, 7);
    cr_assert_eq(w.owner, 9);
    cr_assert_eq(w.kind, LOCK_JOIN);
    cr_assert(lock_slot_unchanged(&slot, seq));
}

Test(lock_slot, a_wait_that_ended_is_noticed) {
    const struct lock_wait_info set = {.object = 0x1000}, none = {0};
    struct lock_wait_info w;
    unsigned seq;
    lock_slot_set(&slot, &set);
    cr_assert(lock_slot_get(&slot, &w, &seq));
    lock_slot_set(&slot, &none);
    lock_slot_set(&slot, &set);
    cr_assert_not(lock_slot_unchanged(&slot, seq));
}

static atomic_bool stop;

static void *write_pairs(void *arg) {
    for (uint64_t i = 1; !atomic_load(&stop); i++) {
        const struct lock_wait_info set = {
            .object = i, .since_ns = i, .owner = (int32_t)(i & 0xffff)};
        lock_slot_set(&slot, &set);
    }
    return NULL;
}

Test(lock_slot, a_reader_never_sees_half_of_two_waits) {
    pthread_t t;
    cr_assert_eq(pthread_create(&t, NULL, write_pairs, NULL), 0);
    for (unsigned good = 0; good < 10000;) {
        struct lock_wait_info w;
        unsigned seq;
        if (!lock_slot_get(&slot, &w, &seq))
            continue;
        cr_assert_eq(w.object, w.since_ns);
        cr_assert_eq((uint64_t)w.owner, w.object & 0xffff);
        good++;
    }
    atomic_store(&stop, true);
    pthread_join(t, NULL);
}
