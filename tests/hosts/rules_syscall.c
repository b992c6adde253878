/*
 * The rules of syscall(), whose futex calls the agent looks at: every other number, argument and
 * errno passes untouched. rules.h.
 */
#include "rules.h"

#include <linux/futex.h>
#include <stddef.h>
#include <sys/mman.h>

static uint32_t word, other;

static long futex(uint32_t *at, int op, uint32_t value, const void *four, uint32_t *two,
                  uint32_t three) {
    return syscall(SYS_futex, at, op, value, four, two, three);
}

static int wait_on_word(void) {
    return futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) ? errno : 0;
}
static int wait_shared(void) { return futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0) ? errno : 0; }
static int wait_bitset(void) {
    struct timespec far = in_ms(CLOCK_MONOTONIC, 3600000);
    return futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, &far, NULL, 6) ? errno : 0;
}

static void other_calls(void) {
    char *p = (char *)syscall(SYS_mmap, NULL, 8192L, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
    CHECK(p != MAP_FAILED);
    p[8191] = 1; /* six arguments arrived */
    SAY_ERRNO(syscall(SYS_munmap, p, 8192L));
    SAY_ERRNO(syscall(SYS_close, -1));
    SAY_ERRNO(syscall(100000));
    say("  pid %d", syscall(SYS_getpid) == getpid());
    pid_t pid = (pid_t)syscall(SYS_fork);
    if (pid == 0)
        syscall(SYS_exit_group, 9);
    int status = 0;
    waitpid(pid, &status, 0);
    say("  child ended with %#x", (unsigned)status);
}

static void errors(void) {
    struct timespec brief = {0, 5000000}, bad = {0, 2000000000};
    word = 0;
    SAY_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0));
    SAY_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 0, &brief, NULL, 0));
    SAY_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 0, &bad, NULL, 0));
    SAY_ERRNO(futex(NULL, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0));
    SAY_ERRNO(futex((uint32_t *)((char *)&word + 1), FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0));
    SAY_ERRNO(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, 0));
    SAY_ERRNO(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, &long_ago, NULL, 1));
    SAY_ERRNO(futex(&word, 77, 0, NULL, NULL, 0));
    SAY_ERRNO(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
    SAY_ERRNO(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, 0));
}

/* A waiter of each sort, woken in each way. */
static void wakes(void) {
    int (*const ways[])(void) = {wait_on_word, wait_shared, wait_bitset};
    for (int i = 0; i < 3; i++) {
        struct helper *h = helper_blocked(ways[i]);
        int op = i == 1 ? FUTEX_WAKE : FUTEX_WAKE_PRIVATE;
        if (i == 2)
            SAY_ERRNO(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 9, NULL, NULL, 1));
        SAY_ERRNO(futex(&word, op, 9, NULL, NULL, 0));
        SAY(helper_answer(h));
    }
    struct helper *h[3];
    for (int i = 0; i < 3; i++)
        h[i] = helper_blocked(wait_on_word);
    SAY_ERRNO(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)9, &other, 5));
    SAY_ERRNO(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)9, &other, 0));
    SAY_ERRNO(futex(&word, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0));
    SAY_ERRNO(futex(&other, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0));
    for (int i = 0; i < 3; i++)
        SAY(helper_answer(h[i]));
    h[0] = helper_blocked(wait_on_word);
    SAY_ERRNO(futex(&other, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &word,
                    FUTEX_OP(FUTEX_OP_SET, 0, FUTEX_OP_CMP_EQ, 0)));
    SAY(helper_answer(h[0]));
}

static void pi_word(void) {
    word = 0;
    SAY_ERRNO(futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    say("  mine: %d", word == (uint32_t)my_tid());
    SAY_ERRNO(futex(&word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    SAY_ERRNO(futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    SAY_ERRNO(futex(&word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    word = 0;
}

static int handled;
static void wake_on_signal(int sig) {
    add_int(&handled, 1);
    futex(&word, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0);
}

static void signals(void) {
    struct sigaction a = {.sa_handler = wake_on_signal};
    sigaction(SIGUSR1, &a, NULL);
    word = 0;
    struct helper *h = helper_blocked(wait_on_word);
    pthread_kill(h->thread, SIGUSR1);
    int answer = helper_answer(h);
    CHECK(handled == 1 && (answer == 0 || answer == EINTR));
    signal(SIGUSR1, SIG_DFL);
}

/* Several words at once: kernels since 5.16. */
static void several_words(void) {
#ifdef SYS_futex_waitv
    struct futex_waitv v[2] = {
        {.val = 0, .uaddr = (uintptr_t)&word, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
        {.val = 1, .uaddr = (uintptr_t)&other, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG}};
    struct timespec t = in_ms(CLOCK_MONOTONIC, 5);
    word = other = 0;
    SAY_ERRNO(syscall(SYS_futex_waitv, v, 2, 0, &t, CLOCK_MONOTONIC));
    other = 1;
    SAY_ERRNO(syscall(SYS_futex_waitv, v, 2, 0, &t, CLOCK_MONOTONIC));
#endif
}

int main(int argc, char **argv) {
    static const struct rule list[] = {{"other_calls", other_calls},
                                       {"errors", errors},
                                       {"wakes", wakes},
                                       {"pi_word", pi_word},
                                       {"signals", signals},
                                       {"several_words", several_words},
                                       {0}};
    return rules_main(argc, argv, list);
}
