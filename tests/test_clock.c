#include "common/clock.h"

#include <criterion/criterion.h>

#include "common/sys.h"

static void lies_between_two_calls(void) {
    for (int i = 0; i < 1000; i++) {
        uint64_t before = sys_clock_ns(CLOCK_MONOTONIC), now = clock_ns();
        cr_assert_leq(before, now);
        cr_assert_leq(now, sys_clock_ns(CLOCK_MONOTONIC));
        before = sys_clock_ns(CLOCK_MONOTONIC_COARSE), now = clock_coarse_ns();
        cr_assert_leq(before, now);
        cr_assert_leq(now, sys_clock_ns(CLOCK_MONOTONIC_COARSE));
    }
}

Test(clock, before_it_is_loaded_it_is_the_kernels) { lies_between_two_calls(); }

Test(clock, from_the_vdso_it_is_the_kernels) {
    clock_load();
    lies_between_two_calls();
}
