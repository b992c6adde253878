#pragma once
/*
 * ANYWHERE. A timer on the CPU clock of one thread, whose signal goes to that thread. Raw system
 * calls: the kernel's id is an int and 0 is valid, glibc's timer_t is neither, and glibc's
 * own helper thread must never start.
 */
#include <stdint.h>
#include <sys/types.h>

/* Makes a timer on tid's CPU clock that sends `signal` with `value`: its id >= 0, or -errno. */
int timer_make(pid_t tid, int signal, void *value);
/* Fires after first_ns of the thread's CPU time, 0 disarms; then every period_ns, 0 never again. */
int timer_arm(int id, uint64_t first_ns, uint64_t period_ns);
void timer_drop(int id);
