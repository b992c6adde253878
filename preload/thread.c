/*
 * CALM. Doors of thread creation. A new thread starts in our trampoline, which gives it its
 * registration and its timer and then jumps on. Its end is noticed by the destructor of a key:
 * these run for a return, pthread_exit and cancellation alike, and need no unwinder of ours. Only
 * the main thread's do not run in time, hence the door of pthread_exit.
 *
 * Why not a TLS destructor: entering one takes the loader's lock. A library's constructor that
 * starts a thread under dlopen() and waits for it would wait for ever; and without memory libc
 * ends the process. A key costs the host one of its PTHREAD_KEYS_MAX, so the doors of
 * pthread_key_create and tss_create give ours back when it was the last. From then on the ends of
 * threads are noticed by looking at /proc, as those of threads that were never seen being born.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <threads.h>

#include "agent/agent.h"
#include "agent/kind.h"
#include "agent/self.h"
#include "common/pool.h"
#include "common/sys.h"
#include "preload/real.h"

enum { KEY_NONE = 0, KEY_GIVEN_BACK = ~0u };

/* KEY_NONE until the first thread is created, else our key + 1. */
static struct { atomic_uint key; } ends;

struct birth {
    void *(*start)(void *); /* pthread */
    thrd_start_t start_c11; /* or C11 */
    void *arg;
    bool blocks_sampling;
};

/* In a first round of destructors those of the host run, and are profiled; ours stays for one more.
 */
static bool is_first_round(void *round) {
    unsigned key = atomic_load(&ends.key);
    return round == &self && key != KEY_GIVEN_BACK &&
           pthread_setspecific(key - 1, (char *)&self + 1) == 0;
}

static void last_words(struct thread *t) {
    struct who *w = (struct who *)atomic_load(&t->who);
    if (w)
        sys_call_2(SYS_prctl, 16 /* PR_GET_NAME */, w->name);
    kinds_thread_end(t);
}

/* After we stood down a system call may kill: there may be a sandbox by now. */
static void leave(void *round) {
    struct thread *t = self.thread;
    if (!t || is_first_round(round))
        return;
    self_enter();
    if (agent_on())
        last_words(t);
    self.thread = NULL;
    thread_remove(t);
    self_leave();
    if (worker_running() && atomic_load(&agent.threads.live) == 0)
        worker_wake();
}

static void make_key(void) {
    unsigned none = KEY_NONE;
    pthread_key_t fresh;
    if (atomic_load(&ends.key) != KEY_NONE || real.pthread_key_create(&fresh, leave) != 0)
        return;
    if (!atomic_compare_exchange_strong(&ends.key, &none, fresh + 1))
        pthread_key_delete(fresh);
}

/* True if there was one. */
static bool give_key_back(void) {
    unsigned key = atomic_exchange(&ends.key, KEY_GIVEN_BACK);
    if (key == KEY_NONE || key == KEY_GIVEN_BACK)
        return false;
    threads_unwatch();
    pthread_key_delete(key - 1);
    return true;
}

/* False: nobody would tell us when this thread ends. */
static bool watch_end(void) {
    unsigned key = atomic_load(&ends.key);
    return key != KEY_NONE && key != KEY_GIVEN_BACK && pthread_setspecific(key - 1, &self) == 0;
}

static struct birth arrive(void *arg) {
    struct birth b = *(struct birth *)arg;
    self_enter();
    pool_free(arg);
    self.blocks_sampling = b.blocks_sampling;
    if (agent_on() && watch_end()) {
        self.stack_hi = thread_stack_end((uintptr_t)__builtin_frame_address(0));
        self.thread = thread_add(sys_gettid(), false,
                                 (uintptr_t)(b.start ? (void *)b.start : (void *)b.start_c11));
        if (self.thread) {
            self.thread->handle = pthread_self();
            kinds_thread_begin(self.thread);
        }
    }
    self_leave();
    return b;
}

static void *begin(void *arg) {
    struct birth b = arrive(arg);
    return b.start(b.arg);
}

static int begin_c11(void *arg) {
    struct birth b = arrive(arg);
    return b.start_c11(b.arg);
}

static struct birth *birth_new(const struct birth *b) {
    if (!agent_on() || self.busy)
        return NULL;
    make_key();
    self_enter();
    struct birth *copy = pool_alloc(sizeof *copy);
    if (copy)
        *copy = *b;
    self_leave();
    return copy;
}

static void birth_failed(struct birth *b) {
    self_enter();
    pool_free(b);
    self_leave();
}

int pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*start)(void *), void *arg) {
    const struct birth b = {.start = start, .arg = arg, .blocks_sampling = self.blocks_sampling};
    struct birth *copy = birth_new(&b);
    if (!copy)
        return real.pthread_create(t, attr, start, arg);
    int err = real.pthread_create(t, attr, begin, copy);
    if (err)
        birth_failed(copy);
    else
        worker_start();
    return err;
}

int thrd_create(thrd_t *t, thrd_start_t start, void *arg) {
    const struct birth b = {
        .start_c11 = start, .arg = arg, .blocks_sampling = self.blocks_sampling};
    struct birth *copy = birth_new(&b);
    if (!copy)
        return real.thrd_create(t, start, arg);
    int err = real.thrd_create(t, begin_c11, copy);
    if (err != thrd_success)
        birth_failed(copy);
    else
        worker_start();
    return err;
}

__attribute__((noreturn)) void pthread_exit(void *result) {
    if (agent_on() && !self.busy && sys_gettid() == agent.pid)
        leave(NULL);
    real.pthread_exit(result);
    __builtin_unreachable();
}

int pthread_key_create(pthread_key_t *key, void (*destructor)(void *)) {
    int err = real.pthread_key_create(key, destructor);
    return err == EAGAIN && give_key_back() ? real.pthread_key_create(key, destructor) : err;
}

int tss_create(tss_t *key, tss_dtor_t destructor) {
    int r = real.tss_create(key, destructor);
    return r == thrd_error && give_key_back() ? real.tss_create(key, destructor) : r;
}
