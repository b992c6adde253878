#include <criterion/criterion.h>
#include <pthread.h>

#include "common/spin.h"

Test(spin, free_lock_is_taken_and_a_held_one_is_not) {
    _Atomic uint32_t lock = 0;
    cr_assert(spin_lock(&lock, 1));
    cr_assert(!spin_lock(&lock, SPIN_NESTED));
    spin_unlock(&lock);
    cr_assert(spin_lock(&lock, 1));
}

static _Atomic uint32_t shared;
static unsigned long counted;

static void *count(void *arg) {
    for (unsigned i = 0; i < 50000; i++) {
        if (!spin_lock(&shared, SPIN_PATIENCE))
            return "gave up";
        counted++;
        spin_unlock(&shared);
    }
    return NULL;
}

Test(spin, threads_take_turns) {
    pthread_t t[4];
    for (unsigned i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, count, NULL);
    for (unsigned i = 0; i < 4; i++) {
        void *failed;
        pthread_join(t[i], &failed);
        cr_assert_null(failed);
    }
    cr_assert_eq(counted, 200000);
}
