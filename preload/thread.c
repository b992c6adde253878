/*
 * CALM. Doors of thread creation. A new thread starts in our trampoline, which gives it its
 * registration and its timer and then jumps on. Its end is noticed by a TLS destructor: these run
 * for a return, pthread_exit and cancellation alike, and need neither one of the host's
 * PTHREAD_KEYS_MAX keys nor an unwinder of ours. Only the main thread gets none of its TLS
 * destructors run in pthread_exit, hence that door.
 */
#include <pthread.h>
#include <string.h>
#include <threads.h>

#include "agent/agent.h"
#include "agent/kind.h"
#include "agent/self.h"
#include "common/pool.h"
#include "common/sys.h"
#include "preload/real.h"

extern int __cxa_thread_atexit_impl(void (*dtor)(void *), void *obj, void *dso);
extern void *__dso_handle;

struct birth {
    void *(*start)(void *); /* pthread */
    thrd_start_t start_c11; /* or C11 */
    void *arg;
    bool blocks_sampling;
};

static void leave(void *arg) {
    struct thread *t = self.thread;
    if (!t)
        return;
    self_enter();
    struct who *w = (struct who *)atomic_load(&t->who);
    if (w)
        sys_call_2(SYS_prctl, 16 /* PR_GET_NAME */, w->name);
    kinds_thread_end(t);
    self.thread = NULL;
    thread_remove(t);
    self_leave();
    if (worker_running() && atomic_load(&agent.threads.live) == 0)
        worker_wake();
}

static struct birth arrive(void *arg) {
    struct birth b = *(struct birth *)arg;
    self_enter();
    pool_free(arg);
    self.blocks_sampling = b.blocks_sampling;
    if (agent_on()) {
        self.stack_hi = thread_stack_end((uintptr_t)__builtin_frame_address(0));
        self.thread = thread_add(sys_gettid(), false,
                                 (uintptr_t)(b.start ? (void *)b.start : (void *)b.start_c11));
        if (self.thread) {
            self.thread->handle = pthread_self();
            __cxa_thread_atexit_impl(leave, NULL, &__dso_handle);
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
