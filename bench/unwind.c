/*
 * Nanoseconds per frame of every way to walk the same stack, in one run:
 *
 *     unwind            10, 30 and 100 frames above main, each engine warm and cold
 *     unwind LIBRARY    unwind tables of a library: rows, time and memory to build them, time of a
 * lookup
 *
 * "cold" means that no rule is cached; the tables themselves are in memory. The agent's engines are
 * linked in, not preloaded, and called as its handler calls them, with the registers of a signal.
 */
#define UNW_LOCAL_ONLY
#include <dlfcn.h>
#include <libunwind.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>

#include "agent/agent.h"
#include "agent/rules.h"
#include "agent/unwind.h"
#include "common/sys.h"

enum { CAP = 256, ROUNDS = 2000, COLD_ROUNDS = 200, BEST_OF = 7 };

static struct {
    unsigned depth;
    const ucontext_t *context;
    uint64_t pcs[CAP];
    void *addresses[CAP];
    unsigned n;
    uint64_t stack_hi;
} job;

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void walk_with(const struct unwinder *u) {
    struct walk w;
    walk_init(&w, job.context, job.pcs, CAP);
    w.plain_lo = sys_context_sp(job.context);
    w.plain_n = job.stack_hi - w.plain_lo;
    u->walk(&w);
    job.n = w.seen;
}

static void ours(void) { walk_with(&unwind_cfi); }
static void frame_pointers(void) { walk_with(&unwind_fp); }
static void libunwind_remote(void) { walk_with(&unwind_libunwind); }

static void libunwind_trace(void) {
    int n = unw_backtrace(job.addresses, CAP);
    job.n = n > 0 ? (unsigned)n : 0;
}

static void libunwind_step(void) {
    unw_cursor_t c;
    unw_word_t ip;
    unw_init_local2(&c, (unw_context_t *)job.context, UNW_INIT_SIGNAL_FRAME);
    job.n = 0;
    do {
        unw_get_reg(&c, UNW_REG_IP, &ip);
        job.n++;
    } while (unw_step(&c) > 0);
}

static int (*libc_backtrace)(void **, int); /* libunwind has one, too */
static void glibc(void) { job.n = (unsigned)libc_backtrace(job.addresses, CAP); }

static void forget_nothing(void) {}
static void forget_rules(void) {
    for (unsigned i = 0; i < job.n; i++)
        atomic_store_explicit(rules_slot(job.pcs[i]), 0, memory_order_relaxed);
}
static void forget_remote(void) { unwind_libunwind.reset(); }
static void forget_local(void) { unw_flush_cache(unw_local_addr_space, 0, 0); }

static const struct {
    const char *name;
    void (*walk)(void);
    void (*forget)(void);
} ways[] = {
    {"frame pointers", frame_pointers, NULL},
    {"ours", ours, forget_rules},
    {"libunwind unw_backtrace", libunwind_trace, NULL},
    {"libunwind unw_step", libunwind_step, forget_local},
    {"libunwind, remote interface", libunwind_remote, forget_remote},
    {"glibc backtrace", glibc, NULL},
};

static double mean(void (*walk)(void), void (*forget)(void), unsigned rounds) {
    double best = 1e18;
    for (int k = 0; k < BEST_OF; k++) {
        double sum = 0;
        for (unsigned i = 0; i < rounds; i++) {
            forget();
            double begin = now_ns();
            walk();
            sum += now_ns() - begin;
        }
        best = sum / rounds < best ? sum / rounds : best;
    }
    return best;
}

static double warm_mean(void (*walk)(void)) {
    double best = 1e18;
    walk();
    for (int k = 0; k < BEST_OF; k++) {
        double begin = now_ns();
        for (unsigned i = 0; i < ROUNDS; i++)
            walk();
        double each = (now_ns() - begin) / ROUNDS;
        best = each < best ? each : best;
    }
    return best;
}

static void on_signal(int sig, siginfo_t *si, void *context) {
    job.context = context;
    for (unsigned i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        double warm = warm_mean(ways[i].walk);
        unsigned n = job.n;
        double cold = ways[i].forget ? mean(ways[i].walk, ways[i].forget, COLD_ROUNDS) -
                                           mean(forget_nothing, forget_nothing, COLD_ROUNDS)
                                     : 0;
        printf("%-30s %4u frames  %7.1f ns/frame warm", ways[i].name, n, warm / n);
        if (ways[i].forget)
            printf("  %7.1f cold", cold / n);
        printf("\n");
    }
}

/* Eight functions in turn, so that more than one rule is in play. */
typedef int level_fn(unsigned left);
static level_fn *const levels[8];
#define LEVEL(i)                                                    \
    static __attribute__((noinline)) int level_##i(unsigned left) { \
        volatile char room[16 + 24 * i];                            \
        room[0] = (char)left;                                       \
        if (left == 0)                                              \
            raise(SIGUSR1);                                         \
        else                                                        \
            room[1] = (char)levels[(i + 1) % 8](left - 1);          \
        return room[0] + room[1];                                   \
    }
LEVEL(0)
LEVEL(1)
LEVEL(2) LEVEL(3) LEVEL(4) LEVEL(5) LEVEL(6) LEVEL(7) static level_fn *const levels[8] = {
    level_0, level_1, level_2, level_3, level_4, level_5, level_6, level_7};

static int find_library(struct dl_phdr_info *info, size_t size, void *arg) {
    uint64_t *found = arg;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_addr == found[0] && info->dlpi_phdr[i].p_type == PT_LOAD &&
            info->dlpi_phdr[i].p_flags & PF_X)
            found[1] = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
    return 0;
}

static volatile uint64_t sink; /* or the compiler looks nothing up */

/* Random addresses that functions cover, each looked up with no rule cached; the best of the
 * rounds. */
static double lookup_ns(const struct module *m, const struct cfi_table *all,
                        const struct cfi_table *t, unsigned n, unsigned rounds) {
    struct walk w = {0};
    double best = 1e18;
    uint64_t *pcs = malloc(n * sizeof *pcs), seed = 1, sum = 0;
    for (unsigned i = 0; i < n;) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        pcs[i] = m->start + (seed >> 20) % (m->end - m->start);
        i += cfi_kind(cfi_table_find(all, pcs[i])) != CFI_BY_FRAME;
    }
    rules_begin(&w);
    for (unsigned k = 0; k < rounds; k++) {
        double begin = now_ns();
        for (unsigned i = 0; i < n; i++)
            sum += t ? cfi_table_find(t, pcs[i]) : rules_find_slow(&w, pcs[i]);
        double each = (now_ns() - begin) / n;
        best = each < best ? each : best;
    }
    free(pcs);
    sink = sum;
    return best;
}

static void print_lookups(const char *what, const struct module *m, const struct cfi_table *t,
                          unsigned n, unsigned rounds) {
    printf("%s: %.1f ns in the table", what, lookup_ns(m, t, t, n, rounds));
    printf(", %.1f ns in place\n", lookup_ns(m, t, NULL, n, rounds));
}

static int table_of(const char *library) {
    struct link_map *map = dlopen(library, RTLD_NOW);
    uint64_t found[2] = {map ? map->l_addr : 0, 0};
    if (map)
        dl_iterate_phdr(find_library, found);
    modules_refresh(false);
    const struct module_range *r = found[1] ? module_range_find(found[1]) : NULL;
    if (!r || !r->module || !r->module->eh_frame) {
        fprintf(stderr, "unwind: %s: no unwind tables\n", library);
        return 1;
    }
    const struct module *m = r->module;
    struct cfi_table t;
    double begin = now_ns();
    if (cfi_build((const uint8_t *)m->eh_frame, m->eh_hi - m->eh_frame, m->eh_frame, &t, sys_map,
                  sys_unmap) != 0)
        return 1;
    double built = now_ns() - begin;
    printf("%s: %u functions, %u rows of %zu bytes, %.1f ms, %.1f ns per row\n", library,
           m->eh_rows, t.n, sizeof *t.rows, built / 1e6, built / t.n);
    struct module *in_place = (struct module *)m;
    in_place->pinned = true;
    print_lookups("2,000 addresses again and again", m, &t, 2000, 50);
    print_lookups("a million addresses once", m, &t, 1 << 20, 1);
    return 0;
}

int main(int argc, char **argv) {
    if (!modules_refresh(true))
        return 1;
    if (argc > 1)
        return table_of(argv[1]);
    unwind_libunwind.load();
    void *f = dlsym(dlopen("libc.so.6", RTLD_NOW), "backtrace");
    memcpy(&libc_backtrace, &f, sizeof f);
    modules_refresh(false);
    job.stack_hi = thread_stack_end(getauxval(AT_EXECFN));
    signal(SIGUSR1, SIG_DFL);
    struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &act, NULL);
    const unsigned depths[] = {10, 30, 100};
    for (unsigned i = 0; i < 3; i++) {
        printf("-- %u frames\n", depths[i]);
        levels[0](depths[i] - 5);
    }
    return 0;
}
