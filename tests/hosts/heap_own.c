/* A program with a malloc of its own, under the usual names and, for its library's sake, under
 * prefixed ones: nothing of that can be seen from outside, and nothing may break. */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static char *next, *end;

static void *carve(size_t align, size_t n) {
    uintptr_t at = ((uintptr_t)next + 16 + align - 1) & ~(uintptr_t)(align - 1);
    if (!next || at + n > (uintptr_t)end) {
        size_t much = n + align + (1 << 20);
        next = mmap(NULL, much, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        end = next + much;
        at = ((uintptr_t)next + 16 + align - 1) & ~(uintptr_t)(align - 1);
    }
    ((size_t *)at)[-1] = n;
    next = (char *)at + n;
    return (void *)at;
}

void *malloc(size_t n) { return carve(16, n); }
void free(void *p) { (void)p; }

void *calloc(size_t n, size_t size) {
    size_t bytes;
    return __builtin_mul_overflow(n, size, &bytes) ? NULL : carve(16, bytes);
}

void *realloc(void *p, size_t n) {
    void *fresh = carve(16, n);
    if (p)
        memcpy(fresh, p, ((size_t *)p)[-1] < n ? ((size_t *)p)[-1] : n);
    return fresh;
}

void *memalign(size_t align, size_t n) { return carve(align < 16 ? 16 : align, n); }
void *aligned_alloc(size_t align, size_t n) { return memalign(align, n); }
size_t malloc_usable_size(void *p) { return p ? ((size_t *)p)[-1] : 0; }

int posix_memalign(void **ret_p, size_t align, size_t n) {
    *ret_p = memalign(align, n);
    return 0;
}

int main(void) {
    size_t sum = 0;
    for (int i = 0; i < 20000; i++) {
        char *p = malloc((size_t)i % 500 + 1);
        memset(p, 'o', (size_t)i % 500 + 1);
        p = realloc(p, 600);
        char *copy = strdup("own");
        sum += malloc_usable_size(p) + (unsigned char)p[0] + (unsigned char)copy[1];
        free(copy);
        free(p);
    }
    printf("%zu\n", sum);
    return 0;
}
