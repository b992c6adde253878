/*
 * Nanoseconds per frame of every way to walk the same stack, in one run:
 *
 *     unwind            10, 30 and 100 frames above main, each engine warm and cold
 *     unwind FILE [ADDRESSES]
 *                       unwind tables of a library or program: rows, time and memory to build them,
 *                       time of a lookup at random addresses, and at those of a list (bench/met.py)
 *
 * "cold" means that no rule is cached; the tables themselves are in memory. The agent's engines are
 * linked in, not preloaded, and called as its handler calls them, with the registers of a signal.
 */
#define UNW_LOCAL_ONLY
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <libunwind.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/rules.h"
#include "agent/unwind.h"
#include "common/sys.h"

/* Fewer rounds than there are walks between two looks at the maps (agent/rules.c): the best batch
 * has none. */
enum { CAP = 256, ROUNDS = 400, COLD_ROUNDS = 200, BEST_OF = 35 };

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
LEVEL(2)
LEVEL(3)
LEVEL(4)
LEVEL(5) LEVEL(6) LEVEL(7) static level_fn *const levels[8] = {level_0, level_1, level_2, level_3,
                                                               level_4, level_5, level_6, level_7};

/* The segments of a library or a program, where the loader would put them and without what else it
 * does: where its code lies, or 0. */
static uint64_t map_file(const char *path) {
    enum { PAGE = 4096, MAX_PHDRS = 64 };
    Elf64_Ehdr eh;
    Elf64_Phdr ph[MAX_PHDRS];
    uint64_t lo = UINT64_MAX, hi = 0, code = 0;
    int fd = open(path, O_RDONLY);
    if (pread(fd, &eh, sizeof eh, 0) != sizeof eh || eh.e_phnum > MAX_PHDRS ||
        pread(fd, ph, eh.e_phnum * sizeof *ph, (off_t)eh.e_phoff) !=
            eh.e_phnum * (ssize_t)sizeof *ph)
        return 0;
    for (unsigned i = 0; i < eh.e_phnum; i++)
        if (ph[i].p_type == PT_LOAD) {
            lo = ph[i].p_vaddr < lo ? ph[i].p_vaddr : lo;
            hi = ph[i].p_vaddr + ph[i].p_memsz > hi ? ph[i].p_vaddr + ph[i].p_memsz : hi;
        }
    lo -= lo % PAGE;
    char *base = mmap(NULL, hi - lo, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < eh.e_phnum; i++) {
        uint64_t in_page = ph[i].p_vaddr % PAGE;
        if (ph[i].p_type != PT_LOAD)
            continue;
        char *at = base + (ph[i].p_vaddr - in_page - lo);
        bool is_code = ph[i].p_flags & PF_X;
        mmap(at, ph[i].p_filesz + in_page, PROT_READ | (is_code ? PROT_EXEC : 0),
             MAP_PRIVATE | MAP_FIXED, fd, (off_t)(ph[i].p_offset - in_page));
        code = is_code ? (uint64_t)at : code;
    }
    close(fd);
    return code;
}

static volatile uint64_t sink; /* or the compiler looks nothing up */

struct places {
    uint64_t *pcs;
    unsigned n;
};

/* Random addresses that functions cover. */
static struct places anywhere(const struct module *m, const struct cfi_table *t, unsigned n) {
    struct places p = {malloc(n * sizeof *p.pcs), n};
    uint64_t seed = 1;
    for (unsigned i = 0; i < n;) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        p.pcs[i] = m->start + (seed >> 20) % (m->end - m->start);
        i += cfi_kind(cfi_table_find(t, p.pcs[i])) != CFI_BY_FRAME;
    }
    return p;
}

/* Those that a file lists, as offsets into the mapped file: bench/met.py writes them. */
static struct places listed(const struct module *m, const char *path) {
    enum { MOST = 1 << 20 };
    struct places p = {malloc(MOST * sizeof *p.pcs), 0};
    FILE *f = fopen(path, "r");
    unsigned long offset;
    while (f && p.n < MOST && fscanf(f, "%lx", &offset) == 1)
        p.pcs[p.n++] = m->start + offset - m->offset;
    return p;
}

/* Afterwards nothing of the tables is in the processor's own caches, as when a program has run
 * since the last sample; they are in memory, and perhaps in a cache that processors share. */
static void sweep(void) {
    enum { BYTES = 16 << 20, LINE = 64 };
    static volatile char room[BYTES];
    for (unsigned i = 0; i < BYTES; i += LINE)
        room[i]++;
}

/* Each looked up with no rule cached, by the table or else in place; the best of the rounds. */
static double lookup_ns(struct places p, const struct cfi_table *t, unsigned rounds, bool swept) {
    struct walk w = {0};
    double best = 1e18;
    uint64_t sum = 0;
    rules_begin(&w);
    for (unsigned k = 0; k < rounds; k++) {
        if (swept)
            sweep();
        double begin = now_ns();
        for (unsigned i = 0; i < p.n; i++)
            sum += t ? cfi_table_find(t, p.pcs[i]) : rules_find_slow(&w, p.pcs[i]);
        double each = (now_ns() - begin) / p.n;
        best = each < best ? each : best;
    }
    sink = sum;
    return best;
}

static void print_lookups(const char *what, struct places p, const struct cfi_table *t,
                          unsigned rounds, bool swept) {
    if (p.n)
        printf("%u %s: %.1f ns in the table, %.1f ns in place\n", p.n, what,
               lookup_ns(p, t, rounds, swept), lookup_ns(p, NULL, rounds, swept));
    free(p.pcs);
}

static int table_of(const char *file, const char *met) {
    uint64_t code = map_file(file);
    modules_refresh(false);
    const struct module_range *r = code ? module_range_find(code) : NULL;
    if (!r || !r->module || !r->module->eh_frame) {
        fprintf(stderr, "unwind: %s: no unwind tables\n", file);
        return 1;
    }
    struct module *m = (struct module *)r->module;
    struct cfi_table t;
    double begin = now_ns();
    if (cfi_build((const uint8_t *)m->eh_frame, m->eh_hi - m->eh_frame, m->eh_frame, &t, sys_map,
                  sys_unmap) != 0)
        return 1;
    double built = now_ns() - begin;
    printf("%s: %u functions, %u rows of %zu bytes, %.1f ms, %.1f ns per row\n", file, m->eh_rows,
           t.n, sizeof *t.rows, built / 1e6, built / t.n);
    m->pinned = true;
    if (met) {
        print_lookups("addresses met, once", listed(m, met), &t, 1, false);
        print_lookups("addresses met, again and again", listed(m, met), &t, 50, false);
        print_lookups("addresses met, each once after others", listed(m, met), &t, 50, true);
    }
    print_lookups("addresses, again and again", anywhere(m, &t, 2000), &t, 50, false);
    print_lookups("addresses, each once after others", anywhere(m, &t, 2000), &t, 50, true);
    print_lookups("addresses, once", anywhere(m, &t, 1 << 20), &t, 1, false);
    return 0;
}

int main(int argc, char **argv) {
    if (!modules_refresh(true))
        return 1;
    if (argc > 1)
        return table_of(argv[1], argc > 2 ? argv[2] : NULL);
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
