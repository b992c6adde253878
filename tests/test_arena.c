#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/arena.h"

Test(arena, zero_arena_gives_zeroed_aligned_memory) {
    struct arena a = {.limit = 0};
    for (size_t n = 1; n < 200000; n = n * 3 + 1) {
        unsigned char *p = arena_alloc(&a, n);
        cr_assert(p);
        cr_assert_eq((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < n; i++)
            cr_assert_eq(p[i], 0);
        memset(p, 0xff, n);
    }
    arena_reset(&a);
    cr_assert_eq(arena_mapped(&a), 0);
}

Test(arena, request_above_a_chunk_gets_its_own) {
    struct arena a = {.limit = 0};
    char *p = arena_alloc(&a, 5 << 20);
    cr_assert(p);
    memset(p, 1, 5 << 20);
    cr_assert(arena_alloc(&a, 16));
    arena_reset(&a);
}

Test(arena, bound_is_kept_and_refusals_are_counted) {
    struct arena a = {.limit = 256 << 10};
    unsigned got = 0;
    while (arena_alloc(&a, 1024))
        got++;
    cr_assert_gt(got, 40);
    cr_assert_leq(arena_mapped(&a), 256 << 10);
    cr_assert_eq(a.refused, 1);
    arena_reset(&a);
    cr_assert(arena_alloc(&a, 1024));
}

struct part {
    struct arena *arena;
    unsigned char mark;
    bool ok;
};

static void *fill(void *arg) {
    struct part *part = arg;
    unsigned char *p[2000];
    for (unsigned i = 0; i < 2000; i++) {
        p[i] = arena_alloc(part->arena, 100);
        memset(p[i], part->mark, 100);
    }
    part->ok = true;
    for (unsigned i = 0; i < 2000; i++)
        for (unsigned b = 0; b < 100; b++)
            part->ok &= p[i][b] == part->mark;
    return NULL;
}

Test(arena, threads_get_separate_memory) {
    struct arena a = {.limit = 0};
    struct part parts[4];
    pthread_t t[4];
    for (unsigned i = 0; i < 4; i++) {
        parts[i] = (struct part){&a, (unsigned char)(i + 1), false};
        pthread_create(&t[i], NULL, fill, &parts[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
        cr_assert(parts[i].ok);
    }
    arena_reset(&a);
}

Test(arena, forked_child_finds_wiped_pages_and_starts_again) {
    struct arena a = {.limit = 0};
    char *p = arena_alloc(&a, 64);
    memcpy(p, "secret", 7);
    pid_t pid = fork();
    if (pid == 0) {
        bool wiped = p[0] == 0;
        arena_reset(&a);
        _exit(wiped && arena_alloc(&a, 64) ? 7 : 8);
    }
    int status;
    waitpid(pid, &status, 0);
    cr_assert_eq(WEXITSTATUS(status), 7);
    cr_assert_str_eq(p, "secret");
}

Test(arena, mappings_count_against_the_bound_until_given_back) {
    struct arena a = {.limit = 16 << 12};
    char *p = arena_map(&a, 8 << 12), *q = arena_map(&a, 8 << 12);
    cr_assert(p && q);
    cr_assert_null(arena_map(&a, 1 << 12));
    cr_assert_eq(a.refused, 1);
    arena_unmap(&a, p, 8 << 12);
    memset(q, 1, 8 << 12);
    arena_empty(&a, q, 8 << 12);
    cr_assert_eq(q[100], 0);
    cr_assert_eq(arena_mapped(&a), 0);
    cr_assert(arena_map(&a, 16 << 12));
}
