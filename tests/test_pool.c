#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/pool.h"
#include "common/rng.h"

Test(pool, blocks_are_aligned_distinct_and_writable) {
    char *p[200];
    for (unsigned i = 0; i < 200; i++) {
        p[i] = pool_alloc(i * i);
        cr_assert(p[i]);
        cr_assert_eq((uintptr_t)p[i] % 16, 0);
        cr_assert_geq(pool_usable(p[i]), (size_t)i * i);
        memset(p[i], (int)i, pool_usable(p[i]));
    }
    for (unsigned i = 0; i < 200; i++) {
        for (size_t b = 0; b < pool_usable(p[i]); b++)
            cr_assert_eq((unsigned char)p[i][b], i);
        pool_free(p[i]);
    }
}

/* Every size from 1 on: at most a quarter plus one step is lost to the class. */
Test(pool, classes_waste_little) {
    for (size_t n = 1; n < 40000; n += 13) {
        void *p = pool_alloc(n);
        cr_assert_geq(pool_usable(p), n);
        if (n + 16 <= 32 << 10)
            cr_assert_leq(pool_usable(p), n + n / 4 + 32);
        pool_free(p);
    }
}

Test(pool, freed_block_is_used_again) {
    void *p = pool_alloc(100);
    pool_free(p);
    cr_assert_eq(pool_alloc(100), p);
}

Test(pool, calloc_clears_used_memory_and_refuses_overflow) {
    char *p = pool_alloc(300);
    memset(p, 0xaa, 300);
    pool_free(p);
    char *q = pool_calloc(3, 100);
    cr_assert_eq(p, q);
    for (unsigned i = 0; i < 300; i++)
        cr_assert_eq(q[i], 0);
    cr_assert_null(pool_calloc(SIZE_MAX / 2, 3));
}

Test(pool, absurd_sizes_are_refused) {
    cr_assert_null(pool_alloc(SIZE_MAX));
    cr_assert_null(pool_alloc(SIZE_MAX - 20));
    cr_assert_null(pool_alloc((size_t)1 << 62));
    cr_assert_null(pool_aligned((size_t)1 << 62, 1));
    cr_assert_null(pool_aligned(64, SIZE_MAX - 70));
}

Test(pool, large_block_returns_its_memory) {
    size_t before = pool_mapped();
    char *p = pool_alloc(3 << 20);
    memset(p, 1, 3 << 20);
    cr_assert(pool_owns(p) && pool_owns(p + (2 << 20)));
    cr_assert_geq(pool_mapped(), before + (3 << 20));
    pool_free(p);
    cr_assert(!pool_owns(p));
    cr_assert_eq(pool_mapped(), before);
}

Test(pool, aligned_blocks_are_aligned_and_free_as_any) {
    for (size_t align = 1; align <= 4 << 20; align *= 2)
        for (size_t n = 1; n < 100000; n = n * 7 + 1) {
            char *p = pool_aligned(align, n);
            cr_assert(p);
            cr_assert_eq((uintptr_t)p % align, 0);
            cr_assert_geq(pool_usable(p), n);
            memset(p, 1, pool_usable(p));
            cr_assert(pool_owns(p));
            pool_free(p);
            cr_assert_eq(pool_usable(p), 0);
        }
}

Test(pool, realloc_keeps_the_bytes) {
    char *p = pool_realloc(NULL, 10);
    memcpy(p, "hello", 6);
    for (size_t n = 20; n < 1 << 20; n *= 3) {
        p = pool_realloc(p, n);
        cr_assert_str_eq(p, "hello");
    }
    p = pool_realloc(p, 8);
    cr_assert_str_eq(p, "hello");
    cr_assert_null(pool_realloc(p, 0));
    cr_assert_eq(pool_usable(p), 0);
}

Test(pool, failed_realloc_leaves_the_block) {
    char *p = pool_alloc(10);
    memcpy(p, "hello", 6);
    cr_assert_null(pool_realloc(p, SIZE_MAX / 2));
    cr_assert_str_eq(p, "hello");
    cr_assert_geq(pool_usable(p), 10);
}

/* An inaccessible page beside everything: a touch would be a SIGSEGV. */
Test(pool, strangers_are_not_owned_and_not_touched) {
    char *none = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pool_free(pool_alloc(1));
    int local;
    void *host = malloc(10);
    void *strangers[] = {NULL, none,      none + 4096,         &local,
                         host, (void *)1, (void *)UINTPTR_MAX, "text"};
    for (unsigned i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        cr_assert(!pool_owns(strangers[i]));
        cr_assert_eq(pool_usable(strangers[i]), 0);
        pool_free(strangers[i]);
    }
    free(host);
}

Test(pool, freeing_twice_or_in_the_middle_does_nothing) {
    char *p = pool_alloc(100), *large = pool_alloc(1 << 20);
    pool_free(p + 16);
    pool_free(p + 1);
    cr_assert_geq(pool_usable(p), 100);
    pool_free(p);
    pool_free(p);
    void *a = pool_alloc(100), *b = pool_alloc(100);
    cr_assert_neq(a, b);
    pool_free(large + 4096);
    cr_assert_gt(pool_usable(large), 0);
    pool_free(large);
    pool_free(large);
}

Test(pool, many_large_blocks_are_all_known) {
    enum { N = 700 };
    void *p[N];
    for (unsigned i = 0; i < N; i++)
        cr_assert(p[i] = pool_alloc(40000));
    for (unsigned i = 0; i < N; i += 2)
        pool_free(p[i]);
    for (unsigned i = 0; i < N; i++)
        cr_assert_eq(pool_owns(p[i]), i % 2 == 1);
    for (unsigned i = 1; i < N; i += 2)
        pool_free(p[i]);
}

/* Each thread fills its blocks with its own pattern: two owners of one block would show. */
static void *churn(void *arg) {
    enum { SLOTS = 64 };
    struct rng rng = {(uintptr_t)arg};
    unsigned char *p[SLOTS] = {0};
    size_t n[SLOTS] = {0};
    for (unsigned i = 0; i < 20000; i++) {
        unsigned s = (unsigned)rng_below(&rng, SLOTS);
        for (size_t b = 0; b < n[s]; b += 61)
            if (p[s][b] != (unsigned char)(uintptr_t)arg)
                return (void *)1;
        pool_free(p[s]);
        n[s] = rng_below(&rng, i % 50 ? 2000 : 100000);
        p[s] = pool_alloc(n[s]);
        if (!p[s] || !pool_owns(p[s]))
            return (void *)2;
        memset(p[s], (int)(uintptr_t)arg, n[s]);
    }
    for (unsigned s = 0; s < SLOTS; s++)
        pool_free(p[s]);
    return NULL;
}

Test(pool, threads_never_share_a_block) {
    pthread_t t[4];
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, churn, (void *)(i + 1));
    for (unsigned i = 0; i < 4; i++) {
        void *result;
        pthread_join(t[i], &result);
        cr_assert_null(result);
    }
}

Test(pool, host_addresses_are_never_owned_while_spans_come_and_go) {
    pthread_t t;
    pthread_create(&t, NULL, churn, (void *)3);
    char *host = mmap(NULL, 1 << 24, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < 1000000; i++)
        cr_assert(!pool_owns(host + (i * 4099u) % (1 << 24)));
    pthread_join(t, NULL);
}

Test(pool, forked_child_finds_the_pool_whole) {
    char *p = pool_alloc(64);
    memcpy(p, "kept", 5);
    pool_fork_prepare();
    pid_t pid = fork();
    pool_fork_release();
    if (pid == 0) {
        bool ok = strcmp(p, "kept") == 0 && pool_owns(p) && pool_alloc(1000) && pool_alloc(1 << 20);
        pool_free(p);
        _exit(ok ? 7 : 8);
    }
    int status;
    waitpid(pid, &status, 0);
    cr_assert_eq(WEXITSTATUS(status), 7);
    cr_assert(pool_alloc(64));
}

/* A raw clone may leave the lock's owner behind: late, but never hanging. How late depends on how
 * soon the kernel wakes who naps for 50 us; a hang ends with meson's limit. */
Test(pool, lock_whose_owner_is_gone_costs_a_failure_and_no_hang) {
    pool_fork_prepare();
    cr_assert_null(pool_alloc(10));
    pool_fork_release();
    cr_assert(pool_alloc(10));
}
