/*
 * Every function of the malloc family, from a site of its own, whoever provides it: heap_family N
 * [pvalloc]. Each site makes N blocks; a second thread frees every other one. Built once for each
 * allocator that a program can be linked with.
 */
#include "host.h"

#include <dlfcn.h>
#include <malloc.h>

static void *volatile sink;

#define SITE(name, call)                   \
    static NOINLINE void *name(size_t n) { \
        void *p = NULL;                    \
        call;                              \
        sink = p;                          \
        return p;                          \
    }

SITE(by_malloc, p = malloc(n))
SITE(by_calloc, p = calloc(n / 8, 8))
SITE(by_realloc, p = realloc(NULL, n))
SITE(by_reallocarray, p = reallocarray(NULL, n / 8, 8))
SITE(by_posix_memalign, CHECK(posix_memalign(&p, 64, n) == 0))
SITE(by_aligned_alloc, p = aligned_alloc(64, n))
SITE(by_memalign, p = memalign(64, n))
SITE(by_valloc, p = valloc(n))
SITE(by_pvalloc, p = pvalloc(n))
SITE(by_growth, p = realloc(p, n))

enum { SITES = 9, MOST = 4000, SIZE = 640 };
static void *(*const sites[SITES])(size_t) = {
    by_malloc,        by_calloc,   by_realloc, by_reallocarray, by_posix_memalign,
    by_aligned_alloc, by_memalign, by_valloc,  by_pvalloc,
};

static unsigned char *blocks[SITES][MOST];
static long n_blocks, n_sites = SITES - 1;

/* Not in every libc. */
static void (*free_sized_if_there)(void *, size_t);

static void *free_half(void *arg) {
    for (long s = 0; s < n_sites; s++)
        for (long i = 1; i < n_blocks; i += 2)
            if (free_sized_if_there && s == 0 && i % 3 == 0)
                free_sized_if_there(blocks[s][i], SIZE);
            else
                free(blocks[s][i]);
    return NULL;
}

static void fill(long s, long i) {
    unsigned char *p = blocks[s][i] = sites[s](SIZE);
    CHECK(p && malloc_usable_size(p) >= SIZE);
    CHECK((uintptr_t)p % (s >= 7 ? 4096 : s >= 4 ? 64 : 16) == 0);
    for (long k = 0; s == 1 && k < SIZE; k++)
        CHECK(p[k] == 0);
    memset(p, (int)(s * 31 + i), SIZE);
}

static void unharmed(void) {
    for (long s = 0; s < n_sites; s++)
        for (long i = 0; i < n_blocks; i += 2)
            for (long k = 0; k < SIZE; k++)
                CHECK(blocks[s][i][k] == (unsigned char)(s * 31 + i));
}

int main(int argc, char **argv) {
    n_blocks = atol(argv[1]);
    n_sites += argc > 2;
    *(void **)&free_sized_if_there = dlsym(RTLD_DEFAULT, "free_sized");
    for (long s = 0; s < n_sites; s++)
        for (long i = 0; i < n_blocks; i++)
            fill(s, i);
    pthread_t t;
    CHECK(pthread_create(&t, NULL, free_half, NULL) == 0 && pthread_join(t, NULL) == 0);
    unharmed();
    for (long i = 0; i < n_blocks; i++)
        free(by_growth(SIZE));
    printf("%ld sites, %ld blocks\n", n_sites, n_blocks);
    return host_failed;
}
