/*
 * HOT. The futex system call as Rust's std, parking_lot, libstdc++ (atomic wait, semaphores), absl
 * and folly make it: through libc's syscall(). A wait is for a word, a wake of that word lets go of
 * it. Whether the word is a lock or a condition nobody here knows; the stacks tell.
 *
 * Why a wake that finds waiters is charged: for a lock it is the unlock. For a condition it is who
 * gave the signal, and the label kind=futex lets a reader leave those out.
 */
#include "preload/lock_futex.h"

#include <linux/futex.h>

#include "preload/lock.h"

enum { LOCK_PI2 = 13 /* Linux 5.14 */ };
enum futex_role { ROLE_OTHER, ROLE_WAIT, ROLE_WAKE };

static enum futex_role role_of(int op) {
    switch (op & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
    case FUTEX_LOCK_PI:
    case LOCK_PI2: return ROLE_WAIT;
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET:
    case FUTEX_WAKE_OP:
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
    case FUTEX_UNLOCK_PI: return ROLE_WAKE;
    default: return ROLE_OTHER;
    }
}

/* EAGAIN: the word had changed already. */
static int how_futex(long r) {
    if (r == 0)
        return LOCK_DONE;
    return errno == ETIMEDOUT || errno == EINTR ? LOCK_TIMEOUT : LOCK_NOT_WAITED;
}

static COLD long wake_slow(long number, uint32_t *word, int op, uint32_t value,
                           const struct timespec *time, uint32_t *word_2, uint32_t value_3) {
    struct lock_charge c;
    bool due = lock_release(&c, LOCK_FUTEX, word);
    long r = real.syscall(number, word, op, value, time, word_2, value_3);
    if (due && r >= 0)
        lock_charge(&c);
    return r;
}

long lock_futex(long number, uint32_t *word, int op, uint32_t value, const struct timespec *time,
                uint32_t *word_2, uint32_t value_3) {
    enum futex_role role = role_of(op);
    if (role == ROLE_WAKE && hot_lock_waited_for(FAMILY_FUTEX))
        return wake_slow(number, word, op, value, time, word_2, value_3);
    if (role == ROLE_WAIT && lock_on())
        return LOCK_WAIT(LOCK_FUTEX, word, 0, how_futex,
                         real.syscall(number, word, op, value, time, word_2, value_3));
    return real.syscall(number, word, op, value, time, word_2, value_3);
}
