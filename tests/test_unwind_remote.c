/* Threads blocked in the kernel, walked from outside. The truth comes from the thread itself: the
 * addresses its functions return to, and the walk in a signal handler that then interrupts it
 * there. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/proc.h"
#include "agent/unwind.h"
#include "common/sys.h"
#include "tests/remote_chain.h"

enum { CAP = 256 };

static struct {
    pthread_t thread;
    pid_t tid;
    int pipe[2];
    uint32_t word;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    sem_t sem;
    sem_t begin, done;
    atomic_bool waits, go_on, stop;
    void (*in)(void *arg);
    int (*chain_fn)(struct chain *c);
    struct chain chain;
    uint64_t inside[CAP], outside[CAP]; /* stacks */
    struct walk by_handler, by_us;
    atomic_bool handled;
} it;

static void in_read(void *arg) {
    char c;
    while (!it.go_on && read(it.pipe[0], &c, 1) < 0)
        ;
}
static void in_poll(void *arg) {
    struct pollfd p = {.fd = it.pipe[0], .events = POLLIN};
    while (!it.go_on && poll(&p, 1, -1) < 0)
        ;
}
static void in_nanosleep(void *arg) {
    const struct timespec t = {.tv_sec = 100};
    while (!it.go_on)
        nanosleep(&t, NULL);
}
static void in_futex(void *arg) {
    while (!it.go_on)
        syscall(SYS_futex, &it.word, FUTEX_WAIT, 0, NULL, NULL, 0);
}
static void in_cond_wait(void *arg) {
    pthread_mutex_lock(&it.mutex);
    while (!it.go_on)
        pthread_cond_wait(&it.cond, &it.mutex);
    pthread_mutex_unlock(&it.mutex);
}
static void in_sem_wait(void *arg) {
    while (!it.go_on)
        sem_wait(&it.sem);
}
static void (*const ways_to_wait[])(void *) = {in_read,  in_poll,      in_nanosleep,
                                               in_futex, in_cond_wait, in_sem_wait};
enum { WAYS = sizeof ways_to_wait / sizeof ways_to_wait[0] };

static void on_signal(int sig, siginfo_t *si, void *context) {
    walk_init(&it.by_handler, context, it.inside, CAP);
    unwind_walk(&it.by_handler);
    atomic_store(&it.handled, true);
}

static void nobody(int sig) {}

static void wait_inside(void *arg) {
    it.waits = true;
    it.in(NULL);
}

static void *sleeper(void *arg) {
    it.tid = sys_gettid();
    for (;;) {
        while (sem_wait(&it.begin) != 0)
            ;
        it.chain.block = wait_inside;
        it.chain_fn(&it.chain);
        sem_post(&it.done);
    }
    return NULL;
}

static void set_up(void) {
    struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigaction wake = {.sa_handler = nobody};
    sigaction(SIGUSR1, &act, NULL);
    sigaction(SIGUSR2, &wake, NULL);
    cr_assert_eq(pipe(it.pipe), 0);
    sem_init(&it.sem, 0, 0);
    sem_init(&it.begin, 0, 0);
    sem_init(&it.done, 0, 0);
    pthread_mutex_init(&it.mutex, NULL);
    pthread_cond_init(&it.cond, NULL);
    cr_assert(modules_refresh(true));
    unwind_load(STACK_CFI);
}

/* Until it sleeps: the same place twice, and no CPU time between. */
static struct proc_blocked wait_until_blocked(void) {
    struct proc_blocked a, b;
    for (int tries = 0; tries < 300000; tries++) {
        uint64_t cpu = sys_clock_ns(sys_thread_clock(it.tid));
        bool asleep = it.waits && proc_thread_blocked(it.tid, &a);
        sched_yield();
        if (asleep && proc_thread_blocked(it.tid, &b) && a.pc == b.pc && a.sp == b.sp &&
            cpu == sys_clock_ns(sys_thread_clock(it.tid)) && cpu)
            return a;
        usleep(100);
    }
    cr_assert(false, "the thread never slept");
    return a;
}

static void begin_round(unsigned way, int (*chain_fn)(struct chain *), uint64_t seed,
                        unsigned depth) {
    it.in = ways_to_wait[way];
    it.chain_fn = chain_fn;
    it.chain.seed = seed;
    it.chain.left = depth;
    it.chain.n = 0;
    it.waits = it.go_on = it.handled = false;
    if (!it.thread)
        cr_assert_eq(pthread_create(&it.thread, NULL, sleeper, NULL), 0);
    sem_post(&it.begin);
}

static void walk_from_outside(void) {
    struct proc_blocked at = wait_until_blocked();
    walk_init(&it.by_us, NULL, it.outside, CAP);
    unwind_remote(&it.by_us, at.pc, at.sp);
    pthread_kill(it.thread, SIGUSR1);
    for (int tries = 0; !it.handled && tries < 300000; tries++)
        usleep(100);
    cr_assert(it.handled);
}

static void end_round(void) {
    struct pollfd left = {.fd = it.pipe[0], .events = POLLIN};
    char c;
    it.go_on = true;
    cr_assert_eq(write(it.pipe[1], "", 1), 1);
    for (int tries = 0; sem_trywait(&it.done) != 0; tries++) {
        cr_assert_lt(tries, 300000);
        sem_post(&it.sem);
        pthread_cond_broadcast(&it.cond);
        pthread_kill(it.thread, SIGUSR2);
        usleep(100);
    }
    while (sem_trywait(&it.sem) == 0)
        ;
    if (poll(&left, 1, 0) == 1)
        cr_assert_eq(read(it.pipe[0], &c, 1), 1);
}

static bool same_stacks(void) {
    return it.by_us.n == it.by_handler.n && it.by_us.end == it.by_handler.end &&
           memcmp(it.outside + 1, it.inside + 1, (it.by_us.n - 1) * sizeof it.outside[0]) == 0;
}

/* The addresses that the functions return to follow each other in the walk. */
static bool chain_is_there(void) {
    for (unsigned at = 0; at + it.chain.n <= it.by_us.n; at++) {
        unsigned k = 0;
        while (k < it.chain.n && it.outside[at + k] == it.chain.returns_to[it.chain.n - 1 - k] - 1)
            k++;
        if (k == it.chain.n)
            return true;
    }
    return false;
}

static void each_way(int (*chain_fn)(struct chain *), unsigned depth) {
    for (unsigned way = 0; way < WAYS; way++)
        for (uint64_t seed = 1; seed <= 8; seed++) {
            begin_round(way, chain_fn, seed, depth);
            walk_from_outside();
            cr_expect(chain_is_there(), "way %u, seed %lu, %u frames, %u guessed, end %d", way,
                      (unsigned long)seed, it.by_us.n, it.by_us.guessed, it.by_us.end);
            cr_expect_eq(it.by_us.end, WALK_ROOT);
            end_round();
        }
}

Test(unwind_remote, a_blocked_thread_without_frame_pointers, .init = set_up) {
    each_way(chain_without_frames, 12);
}

Test(unwind_remote, a_blocked_thread_with_frame_pointers, .init = set_up) {
    each_way(chain_with_frames, 12);
}

/* How many of 600 chains come out as with all registers. */
static unsigned as_from_all(bool fixed, unsigned *ret_searched) {
    unsigned same = 0;
    *ret_searched = 0;
    for (unsigned i = 1; i <= 600; i++) {
        it.chain.fixed = fixed;
        begin_round(i % WAYS, i & 1 ? chain_with_frames : chain_without_frames, i * 7919ul, i % 40);
        walk_from_outside();
        same += same_stacks();
        *ret_searched += it.by_us.guessed > 0;
        end_round();
    }
    return same;
}

Test(unwind_remote, from_two_registers_as_from_all, .init = set_up) {
    unsigned searched, same = as_from_all(true, &searched);
    cr_expect_gt(searched, 100);
    cr_expect_eq(same, 600, "%u of 600, %u with a search", same, searched);
}

/* What earlier calls of the same functions have left in memory that alloca() returns may pass for
 * their frames: here each seventh function asks for up to 3000 bytes and uses half of them. */
Test(unwind_remote, functions_that_take_stack_on_request_are_found_mostly, .init = set_up) {
    unsigned searched, same = as_from_all(false, &searched);
    cr_expect_gt(searched, 100);
    cr_expect_geq(same, 510, "%u of 600, %u with a search", same, searched);
}

/* A thread that runs on while it is walked, from places where it slept once. */
static void *restless(void *arg) {
    it.tid = sys_gettid();
    for (uint64_t seed = 1; !it.stop; seed++) {
        const struct timespec t = {.tv_nsec = 200000};
        struct chain c = {.seed = seed, .left = seed % 30};
        chain_with_frames(&c);
        if (seed % 4 == 0)
            nanosleep(&t, NULL);
    }
    return NULL;
}

Test(unwind_remote, a_thread_that_moves_meanwhile_does_no_harm, .init = set_up) {
    struct proc_blocked at = {0};
    cr_assert_eq(pthread_create(&it.thread, NULL, restless, NULL), 0);
    unsigned walks = 0;
    uint64_t end = sys_clock_ns(CLOCK_MONOTONIC) + 60000000000u;
    for (unsigned i = 0; walks < 3000 && sys_clock_ns(CLOCK_MONOTONIC) < end; i++) {
        if (!it.tid || (!proc_thread_blocked(it.tid, &at) && !at.pc))
            continue;
        walk_init(&it.by_us, NULL, it.outside, CAP);
        unwind_remote(&it.by_us, at.pc, at.sp - 64 * (i % 9));
        cr_assert_geq(it.by_us.n, 1);
        cr_assert_leq(it.by_us.n, CAP);
        walks++;
    }
    it.stop = true;
    pthread_join(it.thread, NULL);
    cr_assert_eq(walks, 3000);
    /* The stack is unmapped or another's now. */
    unwind_remote(&it.by_us, at.pc, at.sp);
    unwind_remote(&it.by_us, at.pc, 8);
    unwind_remote(&it.by_us, 0, 0);
}

Test(unwind_remote, a_stack_of_garbage_is_searched_without_harm, .init = set_up) {
    static uint64_t stack[1 << 16];
    uint64_t seed = 9;
    for (unsigned i = 0; i < 1 << 16; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        stack[i] = seed & 1 ? (uintptr_t)stack + (seed >> 40) % sizeof stack
                            : (uintptr_t)qsort + (seed >> 40) % 100000;
    }
    for (unsigned i = 0; i < 300; i++) {
        walk_init(&it.by_us, NULL, it.outside, CAP);
        unwind_remote(&it.by_us, (uintptr_t)chain_with_frames + i, (uintptr_t)&stack[i]);
        cr_assert_leq(it.by_us.n, CAP);
    }
}
