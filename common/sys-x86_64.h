#pragma once
/* x86-64: the system call instruction, the spin hint, a countdown, a call on another stack, and an
 * interrupted thread's registers. */
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

static inline long sys_raw(long n, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long ret;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}

static inline void sys_pause(void) { __builtin_ia32_pause(); }

/* *left -= n + 1; true when it was not that much. One instruction: a signal handler sees it done or
 * not begun, and no register is taken for what was there and for what is left. */
static inline bool sys_count_down(uint64_t *left, uint64_t n) {
    bool borrow;
    __asm__("stc\n\tsbbq %[n], %[left]" : "=@ccc"(borrow), [left] "+m"(*left) : [n] "r"(n));
    return borrow;
}

/* Runs fn(arg) on the stack that ends at top, then comes back. top is 16-byte aligned. */
static inline void sys_call_on_stack(void *top, void (*fn)(void *), void *arg) {
    __asm__ volatile("movq %%rsp, %%rbx\n\t"
                     ".cfi_remember_state\n\t"
                     ".cfi_def_cfa_register %%rbx\n\t"
                     "movq %[top], %%rsp\n\t"
                     "callq *%[fn]\n\t"
                     "movq %%rbx, %%rsp\n\t"
                     ".cfi_restore_state"
                     : "+D"(arg)
                     : [top] "r"(top), [fn] "r"(fn)
                     : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc",
                       "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

static inline uint64_t sys_context_pc(const ucontext_t *c) {
    return (uint64_t)c->uc_mcontext.gregs[REG_RIP];
}
static inline uint64_t sys_context_sp(const ucontext_t *c) {
    return (uint64_t)c->uc_mcontext.gregs[REG_RSP];
}
/* The frame pointer register. */
static inline uint64_t sys_context_frame(const ucontext_t *c) {
    return (uint64_t)c->uc_mcontext.gregs[REG_RBP];
}
/* Where this function is now, for a walk of its callers: what they keep across calls stands in
 * c, the other registers are zero. */
static inline __attribute__((always_inline)) void sys_context_here(ucontext_t *c) {
    greg_t *g = c->uc_mcontext.gregs;
    __builtin_memset(g, 0, sizeof c->uc_mcontext.gregs);
    __asm__ volatile("leaq 0(%%rip), %%rax\n\t"
                     "movq %%rax, %c[pc](%[g])\n\t"
                     "movq %%rsp, %c[sp](%[g])\n\t"
                     "movq %%rbp, %c[bp](%[g])\n\t"
                     "movq %%rbx, %c[bx](%[g])\n\t"
                     "movq %%r12, %c[r12](%[g])\n\t"
                     "movq %%r13, %c[r13](%[g])\n\t"
                     "movq %%r14, %c[r14](%[g])\n\t"
                     "movq %%r15, %c[r15](%[g])"
                     :
                     : [g] "r"(g), [pc] "i"(8 * REG_RIP), [sp] "i"(8 * REG_RSP),
                       [bp] "i"(8 * REG_RBP), [bx] "i"(8 * REG_RBX), [r12] "i"(8 * REG_R12),
                       [r13] "i"(8 * REG_R13), [r14] "i"(8 * REG_R14), [r15] "i"(8 * REG_R15)
                     : "rax", "memory");
}
