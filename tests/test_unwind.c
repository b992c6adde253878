#include "agent/unwind.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/agent.h"

enum { CAP = 64 };
static uint64_t pcs[CAP];
static struct walk walked;
static unsigned cap = CAP;

static void on_signal(int sig, siginfo_t *si, void *context) {
    walked = (struct walk){.context = context, .pcs = pcs, .cap = cap};
    unwind_walk(&walked);
}

static void start(enum stack_engine engine) {
    struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGUSR1, &act, NULL);
    unwind_load(engine);
    cr_assert(modules_refresh(true));
}

static void start_libunwind(void) { start(STACK_LIBUNWIND); }
static void start_fp(void) { start(STACK_FP); }

static __attribute__((noinline)) void leaf(void) {
    raise(SIGUSR1);
    __asm__ volatile("");
}

static __attribute__((noinline)) void middle(void) {
    leaf();
    __asm__ volatile("");
}

static __attribute__((noinline)) void outer(void) {
    middle();
    __asm__ volatile("");
}

/* Where in the walk a frame lies in the 64 bytes behind the start of f; -1 if nowhere. */
static int frame_in(void (*f)(void)) {
    for (unsigned i = 0; i < walked.n; i++)
        if (pcs[i] >= (uintptr_t)f && pcs[i] < (uintptr_t)f + 64)
            return (int)i;
    return -1;
}

Test(unwind, callers_follow_in_order_to_the_root, .init = start_libunwind) {
    cr_assert_str_eq(unwind_name(), "libunwind");
    outer();
    cr_assert_gt(frame_in(leaf), 0);
    cr_assert_eq(frame_in(middle), frame_in(leaf) + 1);
    cr_assert_eq(frame_in(outer), frame_in(middle) + 1);
    cr_assert_eq(walked.end, WALK_ROOT);
}

static void nested(int sig) { outer(); }

Test(unwind, a_walk_crosses_a_signal_handler_on_an_alternate_stack, .init = start_libunwind) {
    stack_t alt = {.ss_sp = malloc(65536), .ss_size = 65536};
    struct sigaction act = {.sa_handler = nested, .sa_flags = SA_ONSTACK};
    sigaltstack(&alt, NULL);
    sigaction(SIGUSR2, &act, NULL);
    raise(SIGUSR2);
    cr_assert_geq(frame_in(outer), 0);
    cr_assert_gt((int)walked.n, frame_in(outer) + 5, "frames of the interrupted thread follow");
    cr_assert_eq(walked.end, WALK_ROOT);
}

static __attribute__((noinline)) int recurse(int n) {
    int r = n ? recurse(n - 1) + 1 : (raise(SIGUSR1), 0);
    __asm__ volatile("");
    return r;
}

Test(unwind, a_stack_deeper_than_the_limit_says_so, .init = start_libunwind) {
    cap = 16;
    recurse(100);
    cr_assert_eq(walked.end, WALK_ROOT);
    cr_assert_eq(walked.n, 15);
    cr_assert(frame_is_elided(pcs[10]));
    cr_assert_gt(agent.dropped[DROP_DEPTH], 0);
}

Test(unwind, registers_full_of_garbage_do_no_harm) {
    ucontext_t c;
    for (int engine = 0; engine < 2; engine++) {
        start(engine ? STACK_LIBUNWIND : STACK_FP);
        for (int byte = 0; byte < 256; byte++) {
            memset(&c, byte, sizeof c);
            walked = (struct walk){.context = &c, .pcs = pcs, .cap = CAP};
            unwind_walk(&walked);
            cr_assert_geq(walked.n, 1);
        }
    }
}

Test(unwind, a_frame_chain_that_bites_its_tail_ends, .init = start_fp) {
    uint64_t frames[4];
    ucontext_t c = {0};
    frames[0] = (uintptr_t)&frames[2];
    frames[1] = (uintptr_t)outer + 4;
    frames[2] = (uintptr_t)&frames[0];
    frames[3] = (uintptr_t)outer + 4;
    c.uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)outer;
    c.uc_mcontext.gregs[REG_RBP] = (greg_t)(uintptr_t)frames;
    walked = (struct walk){.context = &c, .pcs = pcs, .cap = CAP};
    unwind_walk(&walked);
    cr_assert_eq(walked.end, WALK_ENDLESS);
    cr_assert_leq(walked.n, 4);
}

Test(unwind, memory_at_the_end_of_a_mapping_is_read_up_to_there) {
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page + 4096, 4096);
    *(uint64_t *)(page + 4088) = 42;
    walked = (struct walk){0};
    uint64_t word;
    cr_assert(walk_load(&walked, (uintptr_t)page + 4088, &word));
    cr_assert_eq(word, 42);
    cr_assert_not(walk_load(&walked, (uintptr_t)page + 4092, &word));
    cr_assert_not(walk_load(&walked, (uintptr_t)page + 4096, &word));
    volatile uint64_t low = 8;
    cr_assert_not(walk_load(&walked, low, &word));
    for (volatile uint64_t high = UINT64_MAX - 20; high != 20; high++)
        cr_assert_not(walk_load(&walked, high, &word));
}
