/*
 * Two libraries of the same layout (swap_a.so, swap_b.so: they differ in a name) take turns at the
 * same address, and each burns CPU in its own function.
 *
 *     swap TURNS MS
 *
 * so many that found the place of the one before them. The kernel gives it to whoever asks first,
 * the agent among them: a turn that came too late does not count.
 */
#include "host.h"

#include <dlfcn.h>

static double cpu_ms(void) { return (double)thread_ns() / 1e6; }
static double took_ms[2];

static void *turn(const char *folder, char letter, double ms) {
    char path[600], name[16];
    snprintf(path, sizeof path, "%s/swap_%c.so", folder, letter);
    snprintf(name, sizeof name, "swap_%c", letter);
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void (*work)(long) = so ? (void (*)(long))dlsym(so, name) : NULL;
    if (!work)
        exit(3);
    double begin = cpu_ms();
    while (cpu_ms() < begin + ms)
        work(1000000);
    UNTIL_A_TICK(work(500000));
    took_ms[letter - 'a'] += cpu_ms() - begin;
    dlclose(so);
    return (void *)work;
}

int main(int argc, char **argv) {
    char folder[512] = "";
    ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 1);
    char *slash = n > 0 ? strrchr(folder, '/') : NULL;
    int turns = argc > 1 ? atoi(argv[1]) : 0, taken_over = 0;
    void *before = NULL;
    if (argc < 3 || !slash)
        return 2;
    *slash = '\0';
    for (int i = 0; taken_over < turns && i < 10 * turns; i++) {
        void *at = turn(folder, i % 2 ? 'b' : 'a', atof(argv[2]));
        taken_over += at == before;
        before = at;
    }
    number("a", took_ms[0]);
    number("b", took_ms[1]);
    printf("taken over %d\n", taken_over);
    return 0;
}
