/* The awkward places: each instruction of a path, strange stacks, code without tables, broken
 * chains. */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include "agent/agent.h"
#include "agent/rules.h"
#include "agent/unwind.h"
#include "common/sys.h"

enum { CAP = 128 };
static uint64_t pcs[CAP];
static struct walk walked;
static unsigned cap = CAP;

static void walk_here(const ucontext_t *context) {
    walk_init(&walked, context, pcs, cap);
    unwind_walk(&walked);
}

static void on_signal(int sig, siginfo_t *si, void *context) { walk_here(context); }

static void handle(int sig, void (*fn)(int, siginfo_t *, void *), int flags) {
    struct sigaction act = {.sa_sigaction = fn, .sa_flags = SA_SIGINFO | flags};
    sigaction(sig, &act, NULL);
}

static void start(void) {
    cr_assert(modules_refresh(true));
    unwind_load(STACK_CFI);
    cr_assert_str_eq(unwind_name(), "unwind tables");
    handle(SIGUSR1, on_signal, SA_ONSTACK);
}

/* Where in the walk a frame lies in the `size` bytes behind the start of f; -1 if nowhere. */
static int frame_within(void *f, size_t size) {
    for (unsigned i = 0; i < walked.n; i++)
        if (pcs[i] >= (uintptr_t)f && pcs[i] < (uintptr_t)f + size)
            return (int)i;
    return -1;
}
#define FRAME_IN(f) frame_within((void *)(f), 160)

static int count(uint64_t pc) {
    int n = 0;
    for (unsigned i = 0; i < walked.n; i++)
        n += pcs[i] == pc;
    return n;
}

/* Instruction by instruction ----------------------------------------------------------------------
 */

static struct {
    void *must; /* a function that every walk has to meet */
    unsigned steps, bad;
    uint64_t first_bad;
    void *catcher;
} single;

static void on_trap(int sig, siginfo_t *si, void *context) {
    walk_here(context);
    single.steps++;
    if (walked.end == WALK_ROOT && frame_within(single.must, 4096) >= 0)
        return;
    single.first_bad = single.bad++ ? single.first_bad : unwind_pc(context);
}

/* The flag that makes the processor trap behind each instruction. */
void trap_on(void);
void trap_off(void);
#define TRAP(name, change)                                                    \
    __asm__(".text\n.type " #name ", @function\n" #name ":\n.cfi_startproc\n" \
            "pushfq\n.cfi_adjust_cfa_offset 8\n" change                       \
            "\npopfq\n.cfi_adjust_cfa_offset -8\nret\n"                       \
            ".cfi_endproc\n.size " #name ", .-" #name "\n")
TRAP(trap_on, "orq $0x100, (%rsp)");
TRAP(trap_off, "andq $~0x100, (%rsp)");

static __attribute__((noinline)) int sum(int a, int b) {
    volatile int room[20] = {a};
    return room[0] + b;
}

static __attribute__((noinline)) int tail(int a) { return sum(a, 3); }

static __attribute__((noinline)) int on_request(unsigned n) {
    volatile char *room = __builtin_alloca(n);
    room[0] = (char)n;
    return room[0];
}

typedef long four __attribute__((vector_size(32)));
static __attribute__((noinline)) long aligned(long n) {
    volatile four v = {n, n, n, n};
    return v[1] + sum((int)n, 1);
}

static volatile int sink;

/* Functions of every shape, and of libc: stubs, the loader's resolver on the first call, vectorised
 * leaves. */
static __attribute__((noinline)) void path(void) {
    char text[64];
    trap_on();
    sink = sum(1, 2) + tail(3) + on_request(100) + (int)aligned(5);
    memset(text, sink, sizeof text);
    sink += (int)strlen("one") + atoi("12") + (int)getppid() + abs((int)strtol("77", NULL, 10));
    qsort(text, 8, 1, (int (*)(const void *, const void *))(void *)strcmp);
    trap_off();
}

static __attribute__((noinline)) void each_instruction_of(void (*fn)(void)) {
    single.must = (void *)each_instruction_of;
    handle(SIGTRAP, on_trap, 0);
    fn();
    __asm__ volatile("");
}

Test(unwind_cfi, every_instruction_of_a_path_through_stubs_and_libc, .init = start) {
    each_instruction_of(path);
    cr_assert_gt(single.steps, 1000);
    cr_assert_eq(single.bad, 0, "%u of %u, first at %#lx", single.bad, single.steps,
                 (unsigned long)single.first_bad);
}

static jmp_buf back;

static __attribute__((noinline)) void leave(int n) {
    if (n == 0)
        longjmp(back, 1);
    if (n > 0)
        leave(n - 1);
    __asm__ volatile("");
}

static __attribute__((noinline)) void jump(void) {
    if (setjmp(back) == 0) {
        trap_on();
        leave(5);
    }
    trap_off();
}

Test(unwind_cfi, every_instruction_of_a_longjmp, .init = start) {
    each_instruction_of(jump);
    cr_assert_gt(single.steps, 30);
    cr_assert_eq(single.bad, 0, "%u of %u, first at %#lx", single.bad, single.steps,
                 (unsigned long)single.first_bad);
}

/* What a C++ program does to throw, in C: a cleanup is a landing pad, and resumes. */
static void clean(int *p) { sink += *p; }

static __attribute__((noinline)) void throws(struct _Unwind_Exception *e, _Unwind_Stop_Fn stop) {
    int held __attribute__((cleanup(clean), unused)) = 1;
    trap_on();
    _Unwind_ForcedUnwind(e, stop, NULL);
    __asm__ volatile("");
}

static __attribute__((noinline)) void calls_what_throws(struct _Unwind_Exception *e,
                                                        _Unwind_Stop_Fn stop) {
    int held __attribute__((cleanup(clean), unused)) = 10;
    throws(e, stop);
    __asm__ volatile("");
}

static _Unwind_Reason_Code stop_at_catch(int version, _Unwind_Action actions,
                                         _Unwind_Exception_Class class, struct _Unwind_Exception *e,
                                         struct _Unwind_Context *context, void *arg) {
    if (_Unwind_GetCFA(context) > (uintptr_t)single.catcher)
        longjmp(back, 1);
    return _URC_NO_REASON;
}

static __attribute__((noinline)) void throw_and_catch(void) {
    static struct _Unwind_Exception e;
    sink = 0;
    single.catcher = __builtin_frame_address(0);
    if (setjmp(back) == 0)
        calls_what_throws(&e, stop_at_catch);
    trap_off();
}

/* The nine instructions between overwriting the last return address and the jump to the landing pad
 * have none to go by: two landings. */
Test(unwind_cfi, nearly_every_instruction_of_an_exception_and_its_landing_pads, .init = start) {
    each_instruction_of(throw_and_catch);
    cr_assert_eq(sink, 11);
    cr_assert_gt(single.steps, 1000);
    cr_assert_leq(single.bad, 2 * 9, "%u of %u, first at %#lx", single.bad, single.steps,
                  (unsigned long)single.first_bad);
}

/* Stacks
 * ------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) void leaf(void) {
    raise(SIGUSR1);
    __asm__ volatile("");
}

static void nested_twice(int sig) {
    leaf();
    __asm__ volatile("");
}

static void nested(int sig) {
    raise(SIGWINCH);
    __asm__ volatile("");
}

Test(unwind_cfi, two_nested_handlers_on_an_alternate_stack, .init = start) {
    stack_t alt = {.ss_sp = malloc(65536), .ss_size = 65536};
    struct sigaction outer = {.sa_handler = nested, .sa_flags = SA_ONSTACK};
    struct sigaction inner = {.sa_handler = nested_twice, .sa_flags = SA_ONSTACK};
    sigaltstack(&alt, NULL);
    sigaction(SIGUSR2, &outer, NULL);
    sigaction(SIGWINCH, &inner, NULL);
    raise(SIGUSR2);
    cr_assert_geq(FRAME_IN(leaf), 0);
    cr_assert_gt(FRAME_IN(nested_twice), FRAME_IN(leaf));
    cr_assert_gt(FRAME_IN(nested), FRAME_IN(nested_twice));
    cr_assert_eq(count(frame_special(FRAME_SIGNAL)), 2);
    cr_assert_eq(walked.end, WALK_ROOT);
}

static ucontext_t there, here;
static void coroutine(void) {
    leaf();
    __asm__ volatile("");
}

Test(unwind_cfi, a_coroutine_ends_at_its_own_root, .init = start) {
    getcontext(&there);
    there.uc_stack = (stack_t){.ss_sp = malloc(65536), .ss_size = 65536};
    there.uc_link = &here;
    makecontext(&there, coroutine, 0);
    swapcontext(&here, &there);
    cr_assert_gt(FRAME_IN(coroutine), FRAME_IN(leaf));
    cr_assert_eq(walked.end, WALK_ROOT);
    cr_assert_lt(walked.n, 8);
}

static __attribute__((noinline, noreturn)) void never(void) {
    leaf();
    longjmp(back, 1);
}

static __attribute__((noinline)) void ends_with_a_call(int n) {
    if (n)
        never();
    __asm__ volatile("");
}

Test(unwind_cfi, a_call_that_never_returns_belongs_to_its_caller, .init = start) {
    if (setjmp(back) == 0)
        ends_with_a_call(1);
    cr_assert_eq(FRAME_IN(never), FRAME_IN(leaf) + 1);
    cr_assert_eq(FRAME_IN(ends_with_a_call), FRAME_IN(never) + 1);
    cr_assert_eq(walked.end, WALK_ROOT);
}

static __attribute__((noinline)) int recurse(int n) {
    int r = n ? recurse(n - 1) + 1 : (leaf(), 0);
    __asm__ volatile("");
    return r;
}

static void *deep_thread(void *arg) {
    recurse(100000);
    return NULL;
}

Test(unwind_cfi, a_recursion_of_100000_keeps_its_leaf_and_its_root, .init = start) {
    pthread_t t;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 64 << 20);
    cr_assert_eq(pthread_create(&t, &attr, deep_thread, NULL), 0);
    pthread_join(t, NULL);
    cr_assert_eq(walked.end, WALK_ROOT);
    cr_assert_eq(walked.n, CAP - 1);
    cr_assert(frame_is_elided(pcs[(CAP - 2) * 3 / 4]));
    cr_assert_geq(FRAME_IN(leaf), 0);
    cr_assert_gt(FRAME_IN(deep_thread), CAP * 3 / 4);
    char name[64];
    struct text text = TEXT_ON(name);
    frame_elided_name(&text, pcs[(CAP - 2) * 3 / 4]);
    cr_assert_str_eq(name, "[98304+ frames elided]");
}

static sigjmp_buf out_of_nowhere;

static void on_fault(int sig, siginfo_t *si, void *context) {
    walk_here(context);
    siglongjmp(out_of_nowhere, 1);
}

static __attribute__((noinline)) void call(void (*fn)(void)) {
    fn();
    __asm__ volatile("");
}

Test(unwind_cfi, a_call_through_null_shows_who_called, .init = start) {
    handle(SIGSEGV, on_fault, 0);
    if (sigsetjmp(out_of_nowhere, 1) == 0)
        call(NULL);
    cr_assert_eq(pcs[0], 0);
    cr_assert_eq(FRAME_IN(call), 1);
    cr_assert_eq(walked.end, WALK_ROOT);
}

/* Code without tables
 * ------------------------------------------------------------------------------ */

static uint8_t *jit(const char *code, size_t n) {
    uint8_t *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page, code, n);
    cr_assert(modules_refresh(false));
    return page;
}

/* push rbp; mov rbp, rsp; call rdi; pop rbp; ret: as compilers at run time write it. */
static const char frame_code[] = "\x55\x48\x89\xe5\xff\xd7\x5d\xc3";

static __attribute__((noinline)) void through(uint8_t *code, void (*fn)(void)) {
    ((void (*)(void (*)(void)))(void *)code)(fn);
    __asm__ volatile("");
}

Test(unwind_cfi, code_made_at_run_time_is_walked_by_its_frame_pointer, .init = start) {
    uint8_t *code = jit(frame_code, sizeof frame_code - 1);
    through(code, leaf);
    cr_assert_gt(frame_within(code, 16), FRAME_IN(leaf));
    cr_assert_eq(FRAME_IN(through), frame_within(code, 16) + 1);
    cr_assert_eq(walked.end, WALK_ROOT);
}

static uint8_t *made;
static void nothing(void) {}
static __attribute__((noinline)) void made_path(void) {
    trap_on();
    ((void (*)(void (*)(void)))(void *)made)(nothing);
    trap_off();
}

Test(unwind_cfi, each_instruction_of_code_made_at_run_time, .init = start) {
    made = jit(frame_code, sizeof frame_code - 1);
    each_instruction_of(made_path);
    cr_assert_gt(single.steps, 8);
    cr_assert_eq(single.bad, 0, "%u of %u, first at %#lx", single.bad, single.steps,
                 (unsigned long)single.first_bad);
}

/* Broken ones
 * -------------------------------------------------------------------------------------- */

static void walk_registers(uint64_t pc, uint64_t sp, uint64_t bp) {
    ucontext_t c;
    memset(&c, 0, sizeof c);
    c.uc_mcontext.gregs[REG_RIP] = (greg_t)pc;
    c.uc_mcontext.gregs[REG_RSP] = (greg_t)sp;
    c.uc_mcontext.gregs[REG_RBP] = (greg_t)bp;
    walk_here(&c);
}

Test(unwind_cfi, a_stack_pointer_into_nothing_is_unreadable, .init = start) {
    char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    walk_registers((uintptr_t)leaf, (uintptr_t)page, 0);
    cr_assert_eq(walked.end, WALK_UNREADABLE);
    cr_assert_eq(walked.n, 2);
    cr_assert_eq(pcs[1], frame_special(FRAME_TRUNCATED));
}

Test(unwind_cfi, a_return_address_into_data_ends_the_walk, .init = start) {
    uint64_t stack[16] = {(uintptr_t)stack, (uintptr_t)stack};
    walk_registers((uintptr_t)leaf, (uintptr_t)stack, 0);
    cr_assert_eq(walked.end, WALK_NOT_CODE);
}

Test(unwind_cfi, frame_records_in_a_circle_end, .init = start) {
    uint8_t *code = jit(frame_code, sizeof frame_code - 1);
    uint64_t records[4] = {(uintptr_t)&records[2], (uintptr_t)code + 6, (uintptr_t)&records[0],
                           (uintptr_t)code + 6};
    walk_registers((uintptr_t)code + 4, (uintptr_t)records, (uintptr_t)records);
    cr_assert_neq(walked.end, WALK_ROOT);
    cr_assert_leq(walked.seen, 200);
}

Test(unwind_cfi, random_registers_and_random_stacks_do_no_harm, .init = start) {
    static uint64_t stack[512];
    uint64_t seed = 7;
    for (int i = 0; i < 20000; i++) {
        for (unsigned k = 0; k < 512; k += 7) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            uint64_t r = seed >> 33;
            stack[k] = r % 3 == 0   ? (uintptr_t)stack + r % sizeof stack
                       : r % 3 == 1 ? (uintptr_t)qsort + r % 100000
                                    : seed;
        }
        walk_registers((uintptr_t)strtol + (seed >> 40) % 200000, (uintptr_t)&stack[seed >> 60],
                       (uintptr_t)&stack[i % 500]);
        cr_assert_geq(walked.n, 1);
        cr_assert_leq(walked.n, CAP);
    }
}

/* Libraries that come and go
 * ------------------------------------------------------------------------ */

static const struct module *find_module(const char *name) {
    const struct module_list *l = agent.modules.current;
    for (uint32_t i = 0; i < l->n; i++)
        if (l->at[i].module && strstr(l->at[i].module->path, name))
            return l->at[i].module;
    return NULL;
}

Test(unwind_cfi, copies_of_records_and_a_private_table_say_the_same, .init = start) {
    cr_assert_not_null(dlopen("libelf.so.1", RTLD_NOW));
    cr_assert(modules_refresh(false));
    const struct module *m = find_module("libelf");
    cr_assert_not_null(m);
    cr_assert_not(m->pinned);
    enum { PLACES = 400 };
    static uint32_t by_copy[PLACES];
    struct walk w;
    walk_init(&w, NULL, pcs, CAP);
    rules_begin(&w);
    atomic_store((_Atomic(enum module_table) *)&m->table_state, TABLE_DONE);
    for (unsigned i = 0; i < PLACES; i++)
        by_copy[i] = rules_find_slow(&w, m->start + (m->end - m->start) / PLACES * i);
    atomic_store((_Atomic(enum module_table) *)&m->table_state, TABLE_WANTED);
    cr_assert(rules_build_wanted());
    cr_assert_not_null(m->table);
    for (unsigned i = 0; i < PLACES; i++)
        cr_assert_eq(rules_find_slow(&w, m->start + (m->end - m->start) / PLACES * i), by_copy[i]);
}

Test(unwind_cfi, rules_of_a_library_that_is_gone_are_forgotten, .init = start) {
    void *so = dlopen("libelf.so.1", RTLD_NOW);
    void *f = so ? dlsym(so, "elf_begin") : NULL;
    struct walk w;
    cr_assert_not_null(f);
    cr_assert(modules_refresh(false));
    walk_init(&w, NULL, pcs, CAP);
    rules_begin(&w);
    cr_assert_eq(cfi_kind(rules_find(&w, (uintptr_t)f)), CFI_BY_SP);
    dlclose(so);
    cr_assert(modules_refresh(false));
    rules_begin(&w);
    cr_assert_eq(cfi_kind(rules_find(&w, (uintptr_t)f)), CFI_NOTHING);
}

Test(unwind_cfi, a_vfork_child_walks_as_its_parent_would, .init = start) {
    pid_t child = vfork();
    if (child == 0) {
        sys_call_3(SYS_tgkill, sys_getpid(), sys_gettid(), SIGUSR1);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    cr_assert_eq(walked.end, WALK_ROOT);
}

/* The nine bytes of a trampoline right behind functions, as a libc may have them. The first has no
 * record, and fills all space up to the next function. */
__asm__(".text\n.type trampolines, @function\ntrampolines:\n"
        ".cfi_startproc\nnop\nret\n.cfi_endproc\n"
        "mov $15, %rax\nsyscall\n"
        ".cfi_startproc\nnop\nret\n.cfi_endproc\n"
        ".cfi_startproc\nmov $15, %rax\nsyscall\n.cfi_endproc\n"
        ".cfi_startproc\nnop\nret\n.cfi_endproc\nnop\n"
        ".cfi_startproc\nnop\nret\n.cfi_endproc\n");
void trampolines(void);

Test(unwind_cfi, a_trampoline_behind_a_function_is_known_by_its_bytes, .init = start) {
    const uint64_t at = (uintptr_t)trampolines;
    struct walk w = {0};
    rules_begin(&w);
    cr_assert_eq(cfi_kind(rules_find_slow(&w, at)), CFI_BY_SP);
    cr_assert_eq(cfi_kind(rules_find_slow(&w, at + 1)), CFI_TRAMPOLINE);
    cr_assert_eq(cfi_kind(rules_find_slow(&w, at + 12)), CFI_TRAMPOLINE, "with a record");
    cr_assert_eq(cfi_kind(rules_find_slow(&w, at + 23)), CFI_BY_SP, "padding follows");
}
