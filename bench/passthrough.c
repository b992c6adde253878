/*
 * The least that an interposer can do, to tell what interposing itself costs from what the agent
 * adds: malloc, calloc, realloc and free that jump to the next provider, and nothing else.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

void *malloc(size_t size);
void *calloc(size_t n, size_t size);
void *realloc(void *p, size_t size);
void free(void *p);

static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);
static void (*next_free)(void *);

static void look_up(void *to, const char *name) {
    void *f = dlsym(RTLD_NEXT, name);
    memcpy(to, &f, sizeof f);
}

/* Constructors of libraries below us may have allocated already: every door can be the first. */
static __attribute__((constructor, cold, noinline)) void resolve(void) {
    look_up(&next_malloc, "malloc");
    look_up(&next_calloc, "calloc");
    look_up(&next_realloc, "realloc");
    look_up(&next_free, "free");
}

void *malloc(size_t size) {
    if (__builtin_expect(!next_malloc, 0))
        resolve();
    return next_malloc(size);
}

void *calloc(size_t n, size_t size) {
    if (__builtin_expect(!next_calloc, 0))
        resolve();
    return next_calloc(n, size);
}

void *realloc(void *p, size_t size) {
    if (__builtin_expect(!next_realloc, 0))
        resolve();
    return next_realloc(p, size);
}

void free(void *p) {
    if (__builtin_expect(!next_free, 0))
        resolve();
    next_free(p);
}
