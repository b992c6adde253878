#pragma once
/*
 * The monotonic clock, cheap enough for every contended lock: the kernel's own code in the vDSO,
 * called without libc, whose clock_gettime a host may have replaced (libfaketime). Signal-safe, no
 * errno, no TLS. 25 to 40 ns; where there is no vDSO, a system call.
 *
 * Why not the time stamp counter, at half the price: it needs a calibration that drifts against the
 * clock that profiles are read by, it is not the clock of every machine (a guest that migrates, a
 * kernel that found it unstable), and what is timed here has cost a microsecond already.
 */
#include <stdint.h>

/* Looks the vDSO up; until then clock_ns() makes system calls. */
void clock_load(void);
/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t clock_ns(void);
/* CLOCK_MONOTONIC_COARSE in nanoseconds: up to a tick of the kernel behind, and 5 ns. */
uint64_t clock_coarse_ns(void);
