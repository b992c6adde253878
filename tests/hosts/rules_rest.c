/* The rules of read-write locks, semaphores, barriers, once, join, forks: rules.h. */
#include "rules.h"

#include <limits.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <threads.h>

/* --- read-write locks --- */

static pthread_rwlock_t rw;

static int rd(void) { return pthread_rwlock_rdlock(&rw); }
static int wr(void) { return pthread_rwlock_wrlock(&rw); }
static int un(void) { return pthread_rwlock_unlock(&rw); }
static int then_un(int r) { return r ? r : un(); }
static int rd_un(void) { return then_un(rd()); }
static int wr_un(void) { return then_un(wr()); }
static int try_rd(void) { return then_un(pthread_rwlock_tryrdlock(&rw)); }
static int try_wr(void) { return then_un(pthread_rwlock_trywrlock(&rw)); }
static int timed_rd(long ms) {
    struct timespec t = in_ms(CLOCK_REALTIME, ms);
    return then_un(pthread_rwlock_timedrdlock(&rw, &t));
}
static int timed_wr(long ms) {
    struct timespec t = in_ms(CLOCK_REALTIME, ms);
    return then_un(pthread_rwlock_timedwrlock(&rw, &t));
}
static int clock_rd(long ms) {
    struct timespec t = in_ms(CLOCK_MONOTONIC, ms);
    return then_un(pthread_rwlock_clockrdlock(&rw, CLOCK_MONOTONIC, &t));
}
static int clock_wr(long ms) {
    struct timespec t = in_ms(CLOCK_MONOTONIC, ms);
    return then_un(pthread_rwlock_clockwrlock(&rw, CLOCK_MONOTONIC, &t));
}
static int timed_rd_5(void) { return timed_rd(5); }
static int timed_wr_5(void) { return timed_wr(5); }
static int clock_rd_5(void) { return clock_rd(5); }
static int clock_wr_5(void) { return clock_wr(5); }
static int timed_rd_far(void) { return timed_rd(3600000); }
static int timed_wr_far(void) { return timed_wr(3600000); }
static int clock_rd_far(void) { return clock_rd(3600000); }
static int clock_wr_far(void) { return clock_wr(3600000); }

static void rwlock_of(int preference) {
    pthread_rwlockattr_t a;
    pthread_rwlockattr_init(&a);
    SAY(pthread_rwlockattr_setkind_np(&a, preference));
    SAY(pthread_rwlock_init(&rw, &a));
    SAY(rd());
    SAY(elsewhere(try_rd));
    SAY(elsewhere(rd_un));
    SAY(elsewhere(try_wr));
    SAY(elsewhere(timed_wr_5));
    SAY(elsewhere(clock_wr_5));
    struct helper *h = helper_blocked(wr_un);
    SAY(elsewhere(try_rd)); /* here the preferences differ */
    SAY(elsewhere(timed_rd_5));
    SAY(un());
    SAY(helper_answer(h));
    SAY(wr());
    SAY(rd());
    SAY(wr());
    SAY(timed_rd(5));
    SAY(timed_wr(5));
    SAY(elsewhere(try_rd));
    SAY(elsewhere(timed_rd_5));
    SAY(elsewhere(clock_rd_5));
    SAY(pthread_rwlock_tryrdlock(&rw));
    SAY(pthread_rwlock_trywrlock(&rw));
    int (*const ways[])(void) = {rd_un,        wr_un,        timed_rd_far,
                                 timed_wr_far, clock_rd_far, clock_wr_far};
    struct helper *w[6];
    for (int i = 0; i < 6; i++)
        w[i] = helper_blocked(ways[i]);
    SAY(un());
    for (int i = 0; i < 6; i++)
        SAY(helper_answer(w[i]));
    SAY(pthread_rwlock_timedrdlock(&rw, &never_a_time));
    SAY(pthread_rwlock_timedwrlock(&rw, &never_a_time));
    SAY(pthread_rwlock_timedwrlock(&rw, &long_ago));
    SAY(un());
    SAY(pthread_rwlock_clockrdlock(&rw, 99, &long_ago));
    SAY(pthread_rwlock_destroy(&rw));
}

static void prefer_readers(void) { rwlock_of(PTHREAD_RWLOCK_PREFER_READER_NP); }
static void prefer_writers(void) { rwlock_of(PTHREAD_RWLOCK_PREFER_WRITER_NP); }
static void prefer_writers_strictly(void) {
    rwlock_of(PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
}

static void many_readers(void) {
    SAY(pthread_rwlock_init(&rw, NULL));
    for (int i = 0; i < 100; i++)
        CHECK(rd() == 0);
    SAY(elsewhere(try_wr));
    for (int i = 0; i < 100; i++)
        CHECK(un() == 0);
    SAY(elsewhere(try_wr));
    SAY(elsewhere(rd)); /* a read lock that its thread leaves behind... */
    SAY(elsewhere(un)); /* ...and another gives back */
    SAY(wr_un());
}

/* --- semaphores --- */

static sem_t sem;

static int err(int r) { return r ? errno : 0; }
static int sem_take(void) { return err(sem_wait(&sem)); }
static int sem_take_timed(void) {
    struct timespec far = in_ms(CLOCK_REALTIME, 3600000);
    return err(sem_timedwait(&sem, &far));
}
static int sem_take_clock(void) {
    struct timespec far = in_ms(CLOCK_MONOTONIC, 3600000);
    return err(sem_clockwait(&sem, CLOCK_MONOTONIC, &far));
}

static void semaphores(void) {
    struct timespec t = in_ms(CLOCK_REALTIME, 5);
    int value = -1;
    SAY_ERRNO(sem_init(&sem, 0, 2));
    SAY_ERRNO(sem_wait(&sem));
    SAY_ERRNO(sem_trywait(&sem));
    SAY_ERRNO(sem_trywait(&sem));
    SAY_ERRNO(sem_timedwait(&sem, &t));
    SAY_ERRNO(sem_timedwait(&sem, &long_ago));
    SAY_ERRNO(sem_timedwait(&sem, &never_a_time));
    t = in_ms(CLOCK_MONOTONIC, 5);
    SAY_ERRNO(sem_clockwait(&sem, CLOCK_MONOTONIC, &t));
    SAY_ERRNO(sem_clockwait(&sem, 99, &t));
    SAY_ERRNO(sem_post(&sem));
    SAY_ERRNO(sem_timedwait(&sem, &never_a_time));
    SAY_ERRNO(sem_timedwait(&sem, &long_ago));
    struct helper *h[3] = {helper_blocked(sem_take), helper_blocked(sem_take_timed),
                           helper_blocked(sem_take_clock)};
    for (int i = 0; i < 3; i++)
        SAY_ERRNO(sem_post(&sem));
    for (int i = 0; i < 3; i++)
        SAY(helper_answer(h[i]));
    SAY_ERRNO(sem_getvalue(&sem, &value));
    say("  value %d", value);
    SAY_ERRNO(sem_destroy(&sem));
    SAY_ERRNO(sem_init(&sem, 0, SEM_VALUE_MAX));
    SAY_ERRNO(sem_post(&sem));
    SAY_ERRNO(sem_init(&sem, 0, 0));
}

static int handled;
static void on_signal(int sig) { handled++; }
static void post_on_signal(int sig) {
    handled++;
    sem_post(&sem);
}

static void handle(void (*handler)(int), int flags) {
    struct sigaction a = {.sa_handler = handler, .sa_flags = flags};
    handled = 0;
    sigaction(SIGUSR1, &a, NULL);
}

/* Sends until the handler has run, and the thread sleeps again or has ended. */
static void poke(struct helper *h) {
    CHECK(pthread_kill(h->thread, SIGUSR1) == 0);
    while (!load_int(&handled))
        nap();
}

static void semaphores_and_signals(void) {
    int (*const ways[])(void) = {sem_take, sem_take_timed, sem_take_clock};
    for (int i = 0; i < 3; i++) {
        struct helper *h = helper_blocked(ways[i]);
        handle(on_signal, 0);
        poke(h);
        say("  interrupted");
        SAY(helper_answer(h));
        handle(post_on_signal, 0); /* the handler gives what the interrupted call waits for */
        h = helper_blocked(ways[i]);
        poke(h);
        int answer = helper_answer(h); /* who is first, the interruption or the semaphore? */
        CHECK(answer == 0 || answer == EINTR);
        while (sem_trywait(&sem) == 0)
            ;
    }
    handle(on_signal, SA_RESTART);
    struct helper *h = helper_blocked(sem_take);
    poke(h);
    until_asleep(&h->entering, &h->tid, 1);
    SAY_ERRNO(sem_post(&sem));
    SAY(helper_answer(h));
    signal(SIGUSR1, SIG_DFL);
}

/* A handler that interrupts a mutex, a barrier and a condition variable, and may post. */
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static bool go;
static int take_mutex(void) {
    int r = pthread_mutex_lock(&m);
    return r ? r : pthread_mutex_unlock(&m);
}
static int take_cond(void) {
    pthread_mutex_lock(&m);
    while (!go)
        pthread_cond_wait(&c, &m);
    return pthread_mutex_unlock(&m);
}

static void handlers_that_post(void) {
    handle(post_on_signal, 0);
    pthread_mutex_lock(&m);
    struct helper *h = helper_blocked(take_mutex);
    poke(h);
    SAY_ERRNO(sem_wait(&sem));
    pthread_mutex_unlock(&m);
    SAY(helper_answer(h));
    handle(post_on_signal, SA_RESTART);
    h = helper_blocked(take_cond);
    poke(h);
    SAY_ERRNO(sem_wait(&sem));
    pthread_mutex_lock(&m);
    go = true;
    pthread_cond_signal(&c);
    pthread_mutex_unlock(&m);
    SAY(helper_answer(h));
    signal(SIGUSR1, SIG_DFL);
}

static sem_t *shared;
static void post_in_child(void) { sem_post(&shared[1]), sem_wait(&shared[0]); }

static void semaphores_between_processes(void) {
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    SAY_ERRNO(sem_init(&shared[0], 1, 0));
    SAY_ERRNO(sem_init(&shared[1], 1, 0));
    pid_t pid = fork();
    if (pid == 0)
        post_in_child(), _exit(3);
    SAY_ERRNO(sem_wait(&shared[1]));
    SAY_ERRNO(sem_post(&shared[0]));
    int status = 0;
    waitpid(pid, &status, 0);
    say("  child ended with %#x", (unsigned)status);
    munmap(shared, 4096);
}

static int cancelled_sem(void) { return sem_wait(&sem), 0; }
static int cancelled_sem_timed(void) { return sem_take_timed(), 0; }

/* --- barriers --- */

static pthread_barrier_t barrier;
static int serial, passed;
static int pass_barrier(void) {
    for (int i = 0; i < 20; i++) {
        int r = pthread_barrier_wait(&barrier);
        if (r == PTHREAD_BARRIER_SERIAL_THREAD)
            add_int(&serial, 1);
        else if (r == 0)
            add_int(&passed, 1);
    }
    return 0;
}

static void barriers(void) {
    SAY(pthread_barrier_init(&barrier, NULL, 0));
    SAY(pthread_barrier_init(&barrier, NULL, 5));
    struct helper *h[4];
    for (int i = 0; i < 4; i++)
        h[i] = helper_start(pass_barrier);
    pass_barrier();
    for (int i = 0; i < 4; i++)
        SAY(helper_answer(h[i]));
    say("  %d serial, %d others", serial, passed);
    SAY(pthread_barrier_destroy(&barrier));
    SAY(pthread_barrier_init(&barrier, NULL, 1));
    say("  alone: %d", pthread_barrier_wait(&barrier));
}

/* --- once --- */

static pthread_once_t once;
static int inits, gate;
static void init(void) { inits++; }
static void slow_init(void) {
    inits++;
    while (!load_int(&gate))
        nap();
}
static void cancelled_init(void) {
    inits++;
    pause();
}
static int call_once_slow(void) { return pthread_once(&once, slow_init); }
static int call_once_cancelled(void) { return pthread_once(&once, cancelled_init); }
static int call_once_quick(void) { return pthread_once(&once, init); }

static void once_and_again(void) {
    SAY(pthread_once(&once, init));
    SAY(pthread_once(&once, init));
    say("  %d calls", inits);
    once = PTHREAD_ONCE_INIT;
    inits = 0;
    struct helper *first = helper_start(call_once_slow);
    while (!__atomic_load_n(&once, __ATOMIC_SEQ_CST))
        nap();
    struct helper *second = helper_blocked(call_once_quick);
    store_int(&gate, 1);
    SAY(helper_answer(first));
    SAY(helper_answer(second));
    say("  %d calls", inits);
    /* The first is cancelled in the middle: one of the others has to do it. */
    once = PTHREAD_ONCE_INIT;
    inits = 0;
    first = helper_blocked(call_once_cancelled);
    second = helper_blocked(call_once_quick);
    struct helper *third = helper_blocked(call_once_quick);
    pthread_cancel(first->thread);
    SAY(helper_answer(first));
    SAY(helper_answer(second));
    SAY(helper_answer(third));
    say("  %d calls", inits);
    static once_flag flag = ONCE_FLAG_INIT;
    inits = 0;
    call_once(&flag, init);
    call_once(&flag, init);
    say("  %d calls", inits);
}

/* --- join --- */

static pthread_t gated;
static void *gated_main(void *unused) {
    while (!load_int(&gate))
        nap();
    return (void *)77;
}
static int join_gated(void) { return pthread_join(gated, NULL); }
static int join_self(void) { return pthread_join(pthread_self(), NULL); }
static int c11_gated(void *unused) {
    while (!load_int(&gate))
        nap();
    return 5;
}

static void joins(void) {
    struct timespec t = in_ms(CLOCK_REALTIME, 5);
    void *result = NULL;
    store_int(&gate, 0);
    pthread_create(&gated, NULL, gated_main, NULL);
    SAY(pthread_tryjoin_np(gated, NULL));
    SAY(pthread_timedjoin_np(gated, NULL, &t));
    t = in_ms(CLOCK_MONOTONIC, 5);
    SAY(pthread_clockjoin_np(gated, NULL, CLOCK_MONOTONIC, &t));
    SAY(elsewhere(join_self));
    struct helper *h = helper_blocked(join_gated);
    pthread_cancel(h->thread); /* gives up: it can be joined again */
    SAY(helper_answer(h));
    store_int(&gate, 1);
    t = in_ms(CLOCK_REALTIME, 3600000);
    SAY(pthread_timedjoin_np(gated, &result, &t));
    say("  result %d", (int)(intptr_t)result);
    pthread_create(&gated, NULL, gated_main, NULL);
    SAY(pthread_join(gated, &result));
    say("  result %d", (int)(intptr_t)result);
    store_int(&gate, 0);
    thrd_t c11;
    int answer = 0;
    thrd_create(&c11, c11_gated, NULL);
    store_int(&gate, 1);
    say("  c11: %d", thrd_join(c11, &answer));
    say("  result %d", answer);
    struct helper *s[2];
    for (int i = 0; i < 2; i++) {
        s[i] = helper_blocked(i ? cancelled_sem_timed : cancelled_sem);
        pthread_cancel(s[i]->thread);
        SAY(helper_answer(s[i]));
    }
}

/* --- forks while locks are held and waited for --- */

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t held_rw = PTHREAD_RWLOCK_INITIALIZER;
static int take_held(void) {
    int r = pthread_mutex_lock(&held);
    return r ? r : pthread_mutex_unlock(&held);
}
static int take_held_rw(void) {
    int r = pthread_rwlock_wrlock(&held_rw);
    return r ? r : pthread_rwlock_unlock(&held_rw);
}

static void before_fork(void) { pthread_mutex_lock(&m); }
static void after_fork(void) { pthread_mutex_unlock(&m); }

static void child_of_fork(void) {
    CHECK(pthread_mutex_unlock(&held) == 0);
    CHECK(take_held() == 0);
    CHECK(pthread_mutex_lock(&held) == 0);
    struct helper *h = helper_blocked(take_held);
    CHECK(pthread_mutex_unlock(&held) == 0);
    CHECK(helper_answer(h) == 0);
    CHECK(take_mutex() == 0);
    go = true;
    CHECK(take_cond() == 0);
    sem_init(&sem, 0, 0);
    h = helper_blocked(sem_take);
    CHECK(sem_post(&sem) == 0 && helper_answer(h) == 0);
    in_child("grandchild", init);
}

static void forks(void) {
    SAY(pthread_atfork(before_fork, after_fork, after_fork));
    pthread_mutex_lock(&held);
    pthread_rwlock_wrlock(&held_rw);
    struct helper *h[4];
    for (int i = 0; i < 4; i++)
        h[i] = helper_blocked(i % 2 ? take_held : take_held_rw);
    for (int i = 0; i < 5; i++)
        in_child("fork", child_of_fork);
    SAY(pthread_rwlock_unlock(&held_rw));
    SAY(pthread_mutex_unlock(&held));
    for (int i = 0; i < 4; i++)
        SAY(helper_answer(h[i]));
}

int main(int argc, char **argv) {
    static const struct rule list[] = {
        {"prefer_readers", prefer_readers},
        {"prefer_writers", prefer_writers},
        {"prefer_writers_strictly", prefer_writers_strictly},
        {"many_readers", many_readers},
        {"semaphores", semaphores},
        {"semaphores_and_signals", semaphores_and_signals},
        {"handlers_that_post", handlers_that_post},
        {"semaphores_between_processes", semaphores_between_processes},
        {"barriers", barriers},
        {"once_and_again", once_and_again},
        {"joins", joins},
        {"forks", forks},
        {0}};
    return rules_main(argc, argv, list);
}
