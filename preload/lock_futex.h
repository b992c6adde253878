#pragma once
/* HOT. For syscall-*.c: a futex call on its way through libc's syscall(). */
#include <stdint.h>
#include <time.h>

long lock_futex(long number, uint32_t *word, int op, uint32_t value, const struct timespec *time,
                uint32_t *word_2, uint32_t value_3) __attribute__((visibility("hidden")));
