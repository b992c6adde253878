/* Time in libc's assembly leaves, in recursion with a large and an odd frame, in alloca and in
 * qsort. */
#include <alloca.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char from[70000], to[70000];

static __attribute__((noinline)) size_t leaves(size_t n) {
    memset(from, 'x', n);
    from[n] = '\0';
    memcpy(to, from, n + 1);
    memmove(to + 1, to, n);
    return strlen(to) + (size_t)(strchr(to, '\0') - to) + (size_t)memcmp(from, to, n);
}

static __attribute__((noinline)) int deep(int n, const char *above) {
    char here[200];
    memset(here, n, sizeof here);
    return n ? deep(n - 1, here) + here[n % 200] : above[3];
}

static __attribute__((noinline)) int on_request(size_t n) {
    char *room = alloca(n);
    memset(room, 1, n);
    return room[n / 2] + deep((int)(n % 50), room);
}

static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

typedef double four __attribute__((vector_size(32)));
static __attribute__((noinline, target("avx2"))) double aligned(int n) {
    volatile four v = {1, 2, 3, (double)n}; /* realigns its stack */
    for (int i = 0; i < n; i++)
        v = v * v + (double)deep(3, "four");
    return v[2];
}

int main(int argc, char **argv) {
    static int numbers[2000];
    unsigned long sum = 0;
    for (int i = 0; i < (argc > 1 ? atoi(argv[1]) : 20000); i++) {
        sum += leaves((size_t)(i * 37 % 60000) + 1);
        sum += (unsigned long)on_request((size_t)(i % 900) + 8);
        sum += __builtin_cpu_supports("avx2") ? (unsigned long)(aligned(20) != 0) : 0;
        for (int k = 0; i % 50 == 0 && k < 2000; k++)
            numbers[k] = rand();
        if (i % 50 == 0)
            qsort(numbers, 2000, sizeof *numbers, compare);
    }
    printf("%lu\n", sum);
    return 0;
}
