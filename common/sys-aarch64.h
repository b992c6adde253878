#pragma once
/* aarch64: the system call instruction, the spin hint, a countdown, a call on another stack, and an
 * interrupted thread's registers. */
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

static inline long sys_raw(long n, long a, long b, long c, long d, long e, long f) {
    register long x8 __asm__("x8") = n;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory", "cc");
    return x0;
}

static inline void sys_pause(void) { __asm__ volatile("yield"); }

/* *left -= n + 1; true when it was not that much. */
static inline bool sys_count_down(uint64_t *left, uint64_t n) {
    uint64_t had = *left;
    *left = had - n - 1;
    return had <= n;
}

/* Runs fn(arg) on the stack that ends at top, then comes back. top is 16-byte aligned. */
static inline void sys_call_on_stack(void *top, void (*fn)(void *), void *arg) {
    register void *x0 __asm__("x0") = arg;
    __asm__ volatile("mov x19, sp\n\t"
                     "mov sp, %[top]\n\t"
                     "blr %[fn]\n\t"
                     "mov sp, x19"
                     : "+r"(x0)
                     : [top] "r"(top), [fn] "r"(fn)
                     : "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12",
                       "x13", "x14", "x15", "x16", "x17", "x18", "x19", "x30", "memory", "cc", "v0",
                       "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20",
                       "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
}

static inline uint64_t sys_context_pc(const ucontext_t *c) { return (uint64_t)c->uc_mcontext.pc; }
static inline uint64_t sys_context_sp(const ucontext_t *c) { return (uint64_t)c->uc_mcontext.sp; }
/* The frame pointer register. */
static inline uint64_t sys_context_frame(const ucontext_t *c) {
    return (uint64_t)c->uc_mcontext.regs[29];
}
/* Where this function is now, for a walk of its callers: what they keep across calls stands in
 * c, the other registers are zero. */
static inline __attribute__((always_inline)) void sys_context_here(ucontext_t *c) {
    unsigned long long *r = c->uc_mcontext.regs;
    unsigned long pc, sp;
    __builtin_memset(r, 0, sizeof c->uc_mcontext.regs);
    __asm__ volatile("adr %[pc], .\n\t"
                     "mov %[sp], sp\n\t"
                     "stp x19, x20, [%[r], #152]\n\t"
                     "stp x21, x22, [%[r], #168]\n\t"
                     "stp x23, x24, [%[r], #184]\n\t"
                     "stp x25, x26, [%[r], #200]\n\t"
                     "stp x27, x28, [%[r], #216]\n\t"
                     "stp x29, x30, [%[r], #232]"
                     : [pc] "=&r"(pc), [sp] "=&r"(sp)
                     : [r] "r"(r)
                     : "memory");
    c->uc_mcontext.pc = pc;
    c->uc_mcontext.sp = sp;
}
