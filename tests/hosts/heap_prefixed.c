/* A program with an allocator built in under prefixed names, as jemalloc's and mimalloc's users do;
 * of libc's malloc it takes little. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void *je_malloc(size_t n);
void je_free(void *p);

static struct { char *next, *end; } arena;

void *je_malloc(size_t n) {
    n = (n + 15) & ~(size_t)15;
    if (!arena.next || n > (size_t)(arena.end - arena.next)) {
        arena.next =
            mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        arena.end = arena.next + (8 << 20);
    }
    arena.next += n;
    return arena.next - n;
}

void je_free(void *p) { (void)p; }

int main(void) {
    size_t sum = 0;
    for (int i = 0; i < 50000; i++) {
        char *p = je_malloc(300);
        memset(p, 'j', 300);
        sum += (size_t)p[i % 300];
        je_free(p);
    }
    char *few = malloc(100);
    printf("%zu %d\n", sum, few != NULL);
    return 0;
}
