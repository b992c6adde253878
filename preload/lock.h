#pragma once
/* HOT. What the doors of locks have in common. */
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "agent/lock.h"
#include "preload/real.h"

#define COLD __attribute__((noinline, cold))

/* libc checks a deadline before it looks at the lock, POSIX lets it check after: a call with one
 * that is wrong goes to libc as it is. */
static inline bool lock_deadline_ok(clockid_t clock, const struct timespec *until) {
    return (clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC) && until->tv_nsec >= 0 &&
           until->tv_nsec < 1000000000;
}
