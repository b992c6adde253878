/* HOT. libc's syscall(): a jump for every number, seccomp's by way of process.c, futex's to
 * lock_futex.c; syscall-x86_64.c says why a jump. */
#include "preload/lock_futex.h"
#include "preload/process.h"
#include "preload/real.h"

_Static_assert(offsetof(struct real, syscall) == 0, "the jump below goes through the first member");

__asm__(".text\n"
        ".globl syscall\n"
        ".type syscall, %function\n"
        "syscall:\n\t"
        "cmp x0, #98\n\t" /* SYS_futex */
        "b.eq lock_futex\n\t"
        "cmp x0, #277\n\t" /* SYS_seccomp */
        "b.ne 1f\n\t"
        "stp x29, x30, [sp, #-64]!\n\t"
        "stp x0, x1, [sp, #16]\n\t"
        "stp x2, x3, [sp, #32]\n\t"
        "stp x4, x5, [sp, #48]\n\t"
        "bl process_before_seccomp\n\t"
        "ldp x4, x5, [sp, #48]\n\t"
        "ldp x2, x3, [sp, #32]\n\t"
        "ldp x0, x1, [sp, #16]\n\t"
        "ldp x29, x30, [sp], #64\n"
        "1:\n\t"
        "adrp x16, real\n\t"
        "ldr x16, [x16, #:lo12:real]\n\t"
        "br x16\n"
        ".size syscall, .-syscall\n");
