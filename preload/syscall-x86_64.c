/*
 * HOT. libc's syscall(): a jump for every number; seccomp's passes by process.c first, and futex
 * goes to lock_futex.c, which gets the arguments where they are. It must stay a jump:
 * syscall(SYS_clone) and syscall(SYS_vfork) return twice, and a frame of ours would be dead the
 * second time.
 */
#include "preload/lock_futex.h"
#include "preload/process.h"
#include "preload/real.h"

_Static_assert(offsetof(struct real, syscall) == 0, "the jump below goes through the first member");

__attribute__((naked)) long syscall(long number, ...) {
    __asm__("cmpq $202, %rdi\n\t" /* SYS_futex */
            "je lock_futex\n\t"
            "cmpq $317, %rdi\n\t" /* SYS_seccomp */
            "je 1f\n\t"
            "jmp *real(%rip)\n"
            "1:\n\t"
            "pushq %rdi\n\t"
            "pushq %rsi\n\t"
            "pushq %rdx\n\t"
            "pushq %rcx\n\t"
            "pushq %r8\n\t"
            "call process_before_seccomp\n\t"
            "popq %r8\n\t"
            "popq %rcx\n\t"
            "popq %rdx\n\t"
            "popq %rsi\n\t"
            "popq %rdi\n\t"
            "jmp *real(%rip)");
}
