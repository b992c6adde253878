#include "agent/worker.h"

#include <signal.h>
#include <sys/prctl.h>

#include "agent/agent.h"
#include "agent/dump.h"
#include "agent/kind.h"
#include "agent/proc.h"
#include "agent/rules.h"
#include "agent/self.h"
#include "common/sys.h"
#include "symbols/symbols.h"

enum { STACK_SIZE = 512 << 10, MAX_TICKS = 8, WAIT_YIELDS = 1000000 };
static const uint64_t TICK_NS = 1000000000u;

struct round {
    uint64_t cpu_ns;   /* of the process at the last look at its threads */
    uint64_t every_at; /* monotonic, of the next file */
    unsigned ticks;    /* pause between looks: doubles while the host is idle */
};

/* glibc's own two signals stay open: setxid and cancellation must reach every thread. */
static void block_signals(uint64_t *old) {
    const uint64_t all = ~(sys_sigbit(32) | sys_sigbit(33));
    sys_sigmask(SIG_SETMASK, &all, old);
}

/* Threads only appear while somebody runs: an idle host is looked at less and less often. */
static void look_at_threads(struct round *r) {
    uint64_t cpu = sys_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    bool idle = cpu - r->cpu_ns < TICK_NS / 1000;
    r->cpu_ns = cpu;
    r->ticks = idle ? (r->ticks < MAX_TICKS ? 2 * r->ticks : MAX_TICKS) : 1;
    threads_notice_ends(kinds_thread_end);
    if (idle)
        return;
    modules_refresh(false);
    threads_scan(kinds_thread_begin);
}

static uint64_t pause_ns(const struct round *r, uint64_t now) {
    uint64_t pause = r->ticks * TICK_NS;
    if (!r->every_at)
        return pause;
    uint64_t left = r->every_at > now ? r->every_at - now : 1;
    return left < pause ? left : pause;
}

static void write_files(struct round *r, uint64_t now) {
    bool every = r->every_at && now >= r->every_at;
    if (!every && !dump_wanted())
        return;
    if (agent.options.names)
        symbols_load(); /* a plugin may have brought the C++ demangler since */
    dump_serve();
    if (!every)
        return;
    dump_now(DUMP_EVERY);
    while (r->every_at <= now)
        r->every_at += agent.options.every_ns;
}

static void *run(void *arg) {
    struct worker *w = arg;
    struct round r = {.ticks = 1};
    w->tid = sys_gettid();
    sys_call_2(SYS_prctl, PR_SET_NAME, "cprof");
    self_enter();
    if (agent.options.every_ns)
        r.every_at = sys_clock_ns(CLOCK_MONOTONIC) + agent.options.every_ns;
    for (;;) {
        uint32_t seen = __atomic_load_n(&w->word, __ATOMIC_ACQUIRE);
        if (atomic_load(&w->stop) || !agent_on() || atomic_load(&agent.threads.live) == 0)
            break;
        rules_build_wanted();
        write_files(&r, sys_clock_ns(CLOCK_MONOTONIC));
        look_at_threads(&r);
        sys_futex_wait(&w->word, seen, pause_ns(&r, sys_clock_ns(CLOCK_MONOTONIC)));
    }
    atomic_store(&w->running, 0);
    w->tid = 0;
    self_leave();
    return NULL;
}

void worker_start(void) {
    struct worker *w = &agent.worker;
    if (!agent_on() || atomic_exchange(&w->running, 1))
        return;
    pthread_attr_t attr;
    uint64_t mask;
    self_enter();
    atomic_store(&w->stop, 0);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    block_signals(&mask);
    int err = pthread_create(&w->thread, &attr, run, w);
    sys_sigmask(SIG_SETMASK, &mask, NULL);
    pthread_attr_destroy(&attr);
    self_leave();
    if (err == 0) {
        atomic_store(&w->joinable, 1);
        return;
    }
    atomic_store(&w->running, 0);
    log_say(
        LOG_WARN, "agent",
        "its thread cannot be created; profiles are written by the thread that gets the signal");
}

bool worker_running(void) {
    return atomic_load_explicit(&agent.worker.running, memory_order_acquire);
}

void worker_wake(void) {
    __atomic_fetch_add(&agent.worker.word, 1, __ATOMIC_RELEASE);
    sys_futex_wake(&agent.worker.word, 1);
}

void worker_stop(void) {
    struct worker *w = &agent.worker;
    if (!worker_running())
        return;
    atomic_store(&w->stop, 1);
    worker_wake();
    self_enter();
    bool mine = atomic_exchange(&w->joinable, 0);
    for (int i = 0; !mine && i < WAIT_YIELDS && worker_running(); i++) {
        sys_yield(); /* it is being made, or another thread joins it */
        mine = atomic_exchange(&w->joinable, 0);
    }
    if (mine)
        pthread_join(w->thread, NULL);
    self_leave();
}
