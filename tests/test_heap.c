#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/filter.h"
#include "agent/gap.h"
#include "agent/heap.h"
#include "agent/hot.h"
#include "agent/self.h"
#include "agent/unwind.h"

/* What the door of malloc does, with an address of our choosing: the rate it was sampled with. */
static unsigned allocate(uintptr_t at, size_t size) {
    if (!hot_malloc_due(size))
        return 0;
    unsigned rate = heap_due(size);
    heap_enter(rate, (void *)at, size);
    return rate;
}

static bool release(uintptr_t at) {
    struct live_block b;
    if (!hot_free_due((void *)at) || !heap_take((void *)at, &b))
        return false;
    heap_freed(&b);
    return true;
}

static void sum_row(struct row *r, void *arg) {
    int64_t *sums = arg;
    for (unsigned i = 0; i < 4; i++)
        sums[i] += row_scaled(r, i);
}

struct sums {
    int64_t of[4];
};

static struct sums sums(void) {
    struct sums s = {0};
    table_each(&heap.table, sum_row, s.of);
    return s;
}

static void start(uint64_t rate) {
    agent.options.depth = 64;
    agent.options.stack = STACK_FP;
    agent.pid = getpid();
    modules_refresh(true);
    unwind_load(STACK_FP);
    self.thread = thread_add(getpid(), false, 0);
    cr_assert_eq(heap_set_rate(rate), 0);
}

Test(heap, without_a_rate_nothing_is_sampled) {
    start(0);
    for (unsigned i = 1; i <= 1000; i++)
        cr_assert_eq(allocate(i * 16, 1 << 20), 0);
    cr_assert_eq(heap.samples, 0);
}

Test(heap, rate_of_one_samples_every_block_exactly) {
    start(1);
    for (unsigned i = 1; i <= 1000; i++)
        cr_assert_neq(allocate(i * 16, i), 0);
    struct sums s = sums();
    cr_assert_eq(s.of[HEAP_ALLOC_OBJECTS], 1000);
    cr_assert_eq(s.of[HEAP_ALLOC_SPACE], 500500);
    cr_assert_eq(s.of[HEAP_INUSE_OBJECTS], 1000);
    cr_assert_eq(s.of[HEAP_INUSE_SPACE], 500500);
}

Test(heap, zero_size_is_sampled_too) {
    start(1);
    cr_assert_neq(allocate(16, 0), 0);
    cr_assert_eq(sums().of[HEAP_INUSE_OBJECTS], 1);
}

/* Weights are fractions; what was added comes out again to the last bit. */
Test(heap, everything_freed_leaves_nothing_in_use) {
    start(1000);
    for (unsigned i = 1; i <= 20000; i++)
        allocate(i * 16, i % 300);
    cr_assert_gt(sums().of[HEAP_INUSE_SPACE], 0);
    for (unsigned i = 1; i <= 20000; i++)
        release(i * 16);
    struct sums s = sums();
    cr_assert_eq(s.of[HEAP_INUSE_OBJECTS], 0);
    cr_assert_eq(s.of[HEAP_INUSE_SPACE], 0);
    cr_assert_gt(s.of[HEAP_ALLOC_SPACE], 0);
    cr_assert_eq(heap.live_bytes, 0);
    cr_assert_eq(heap.live.n, 0);
}

Test(heap, free_that_went_unseen_is_found_when_its_address_comes_again) {
    start(1);
    allocate(64, 100);
    allocate(64, 30);
    cr_assert_eq(heap.missed_frees, 1);
    cr_assert_eq(sums().of[HEAP_INUSE_SPACE], 30);
    cr_assert_eq(sums().of[HEAP_ALLOC_SPACE], 130);
}

Test(heap, block_that_was_put_back_is_still_in_use) {
    struct live_block b;
    start(1);
    allocate(64, 100);
    cr_assert(heap_take((void *)64, &b));
    heap_put_back(&b);
    cr_assert_eq(sums().of[HEAP_INUSE_SPACE], 100);
    cr_assert(release(64));
    cr_assert_eq(sums().of[HEAP_INUSE_SPACE], 0);
}

Test(heap, failed_allocation_counts_as_nothing) {
    start(1);
    heap_enter(heap_due(100), NULL, 100);
    cr_assert_eq(heap.samples, 0);
}

/* One thread, two rates: each sample weighs what its own gap was drawn with. 4 standard errors,
 * from a fixed seed. */
Test(heap, rate_changed_on_the_way_changes_no_total) {
    enum { N = 400000, SIZE = 256 };
    static const uint64_t rates[] = {65536, 4096, 100000, 16384}; /* none adapts */
    double variance = 0;
    start(rates[0]);
    self.gaps.state = 1;
    for (unsigned k = 0; k < 4; k++) {
        double p = -expm1(-(SIZE + 1.0) / (double)rates[k]);
        cr_assert_eq(heap_set_rate(rates[k]), 0);
        for (unsigned i = 0; i < N; i++) {
            allocate(16, SIZE);
            release(16);
        }
        variance += N * (1 / p - 1);
    }
    cr_assert_float_eq((double)sums().of[HEAP_ALLOC_OBJECTS], 4.0 * N, 4 * sqrt(variance));
}

Test(heap, switched_off_it_samples_nothing_and_still_sees_frees) {
    start(1);
    allocate(64, 100);
    cr_assert_eq(heap_set_rate(0), 0);
    cr_assert_eq(allocate(128, 100), 0);
    cr_assert(release(64));
    cr_assert_eq(sums().of[HEAP_INUSE_SPACE], 0);
    cr_assert_eq(heap_set_rate(1), 0);
    cr_assert_neq(allocate(128, 100), 0);
}

/* Sizes that no allocator serves end the countdown; none gets past it. */
Test(heap, no_size_wraps_the_countdown) {
    static const size_t sizes[] = {PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX - 1, SIZE_MAX};
    start(512 << 10);
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        self.left_bytes = 1000;
        cr_assert(hot_malloc_due(sizes[i]), "%zx", sizes[i]);
    }
    self.left_bytes = 1000;
    cr_assert(!hot_malloc_due(999));
    cr_assert_eq(self.left_bytes, 0);
    cr_assert(hot_malloc_due(0));
}

static void *allocate_once(void *arg) {
    allocate(16, *(size_t *)arg);
    release(16);
    return NULL;
}

/* Each draws before it tests. 2 of 3 threads would be samples otherwise, here 1 in 17. The seeds
 * are those of the day: 6 standard errors, which 303 +- 17 samples exceed once in 200 million runs.
 */
Test(heap, threads_that_allocate_once_are_not_favoured) {
    enum { N = 5000, RATE = 16384 };
    size_t size = 1023;
    start(RATE);
    for (unsigned i = 0; i < N; i++) {
        pthread_t t;
        cr_assert_eq(pthread_create(&t, NULL, allocate_once, &size), 0);
        pthread_join(t, NULL);
    }
    double p = -expm1(-1024.0 / RATE);
    cr_assert_float_eq((double)heap.samples, N * p, 6 * sqrt(N * p * (1 - p)));
}

/* A loop of megabytes: the rate rises until fewer than all are samples, and the total stays right.
 */
Test(heap, storm_of_samples_makes_the_rate_adapt_and_keeps_the_total) {
    enum { N = 2000000, SIZE = 1 << 20 };
    start(512 << 10);
    for (unsigned i = 0; i < N; i++) {
        allocate(16, SIZE);
        release(16);
    }
    cr_assert_gt(heap_rate_bytes(heap.rate), 512 << 10);
    cr_assert_lt(heap.samples, N / 4);
    cr_assert_gt(heap.window.doublings_most, 0);
    /* 4 standard errors of a run at the coarsest rate that it reached. */
    double coarsest = (double)((uint64_t)(512 << 10) << heap.window.doublings_most);
    double p = -expm1(-(SIZE + 1.0) / coarsest);
    cr_assert_float_eq((double)sums().of[HEAP_ALLOC_OBJECTS], N, 4 * sqrt(N * (1 / p - 1)));
}

/* At the coarsest rate nearly every countdown is cut after 2 GiB, in the middle of a block; some
 * blocks have several cuts. Testing such a block as a whole again would give it half as much again.
 * 4 standard errors. */
Test(heap, gaps_that_are_cut_short_change_no_total) {
    enum { N = 300000 };
    static const uint64_t sizes[] = {(uint64_t)3 << 28, (uint64_t)5 << 30, (uint64_t)1 << 30};
    double right = 0, variance = 0;
    start(GAP_RATE_MAX);
    for (unsigned i = 0; i < N; i++) {
        uint64_t size = sizes[i % 3];
        double p = -expm1(-((double)size + 1) / (double)GAP_RATE_MAX);
        allocate(16, size);
        release(16);
        right += (double)size;
        variance += (double)size * (double)size * (1 / p - 1);
    }
    cr_assert_float_eq((double)sums().of[HEAP_ALLOC_SPACE], right, 4 * sqrt(variance));
}

/* Nothing is sampled that could say so: the cut does. The seed is one whose first gap is longer. */
Test(heap, rate_of_a_storm_falls_when_nothing_is_sampled_any_more) {
    start(512 << 10);
    heap.rate += 17;
    heap.window.began_ns = 0;
    self.gaps.state = 42;
    cr_assert_eq(allocate(16, 1 << 30), 0);
    cr_assert_eq(heap_rate_bytes(heap.rate), GAP_RATE_MAX);
    cr_assert_eq(allocate(16, ((uint64_t)1 << 30) - 1), 0);
    cr_assert_eq(heap_rate_bytes(heap.rate), 512 << 10);
    cr_assert_eq(heap.samples, 0);
}

Test(heap, fine_rate_is_not_adapted) {
    start(32 << 10);
    for (unsigned i = 0; i < 5000; i++) {
        allocate(16, 1 << 20);
        release(16);
    }
    cr_assert_eq(heap_rate_bytes(heap.rate), 32 << 10);
    cr_assert_eq(sums().of[HEAP_ALLOC_OBJECTS], 5000);
}

Test(heap, sizes_are_exact_until_there_are_many_rows) {
    cr_assert_eq(heap_size_class(1000003, 10), 1000003);
    cr_assert_eq(heap_size_class(15, 1000000), 15);
    for (uint64_t size = 16; size < 1 << 20; size = size * 5 / 4 + 1) {
        uint64_t class = heap_size_class(size, 1000000);
        cr_assert_leq(class, size);
        cr_assert_geq(class, size - size / 8);
        cr_assert_eq(heap_size_class(class, 1000000), class);
    }
}

static void sum_peak(struct row *r, void *arg) {
    int64_t *peak = arg;
    peak[0] += r->peak[0];
    peak[1] += r->peak[1];
}

Test(heap, peak_is_that_of_the_highest_moment) {
    int64_t peak[2] = {0};
    start(1);
    heap.peak.on = true;
    for (unsigned i = 1; i <= 100; i++)
        allocate(i * 16, 1000);
    for (unsigned i = 1; i <= 100; i++)
        release(i * 16);
    for (unsigned i = 1; i <= 10; i++)
        allocate(i * 16, 1000);
    table_each(&heap.table, sum_peak, peak);
    cr_assert_eq(peak[0], 100);
    cr_assert_eq(peak[1], 100000);
    cr_assert_eq(heap.peak.bytes, 100000);
}

Test(heap, reset_forgets_blocks_and_keeps_the_rate) {
    start(1);
    allocate(64, 100);
    heap_reset();
    cr_assert(!release(64));
    cr_assert(!filter_maybe((void *)64));
    self.left_bytes = 0;
    cr_assert_neq(allocate(64, 100), 0);
    cr_assert_eq(sums().of[HEAP_INUSE_SPACE], 100);
}

Test(heap, unknown_rate_is_refused) {
    start(1);
    cr_assert_lt(heap_set_rate(2 * GAP_RATE_MAX), 0);
    cr_assert_eq(heap_rate_bytes(heap.rate), 1);
}
