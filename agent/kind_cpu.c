/*
 * ANYWHERE, except start, stop and reset. CPU time by stack.
 *
 * The weight of a sample is the CPU clock's advance since the thread was last charged, never "one
 * period": the kernel's timers fire on its ticks only, so a count of signals loses three quarters
 * of the time at 1 kHz on HZ=250. The invariant, per thread and hence in total:
 *
 *     sum over rows of cpu = charged_ns = CPU clock at the last charge
 *
 * The tail behind the last sample is charged to the last row when a thread ends or a profile is
 * written.
 *
 * Threads that live shorter than a period mostly end without a sample. Their time waits in a purse,
 * one for each function that threads begin in, and goes to the next sample of a thread with the
 * same beginning: that is what any sampler means by "this sample stands for one period". Ten
 * thousand threads of 2 ms would otherwise be 95 % [unsampled]. Such time carries no thread label,
 * because it is not the sampled thread's.
 */
#include "agent/kind.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <ucontext.h>

#include "agent/agent.h"
#include "agent/capture.h"
#include "agent/freeze.h"
#include "agent/proc.h"
#include "agent/self.h"
#include "agent/timer.h"
#include "common/chains.h"
#include "common/hash.h"
#include "common/sys.h"

enum { VALUE_SAMPLES, VALUE_CPU, SAMPLES_PER_PERIOD = 4 };

/* Time of threads that began in `start` and that no sample stands for yet. */
struct purse {
    struct link link;
    uint64_t start;
    atomic_uint_fast64_t ns;
    struct row *_Atomic last; /* where such time went the last time; without a thread */
};

static struct {
    uint64_t period_ns;
    unsigned timer_limit; /* half of RLIMIT_SIGPENDING: the other half is the host's */
    struct table table;
    struct chains purses;
    bool started;           /* what threads did before is not in any row */
    atomic_bool complained; /* about a timer that was refused */
    atomic_uint_fast64_t samples;
    uint64_t written; /* samples at the last file */
} cpu;

/* Moves charged_ns up to now: what is to be charged. Signal and dumper may race; each nanosecond is
 * given out once. */
static uint64_t charge(struct thread *t, uint64_t now) {
    uint64_t was = atomic_load_explicit(&t->charged_ns, memory_order_relaxed);
    do
        if (now <= was)
            return 0;
    while (!atomic_compare_exchange_weak_explicit(&t->charged_ns, &was, now, memory_order_relaxed,
                                                  memory_order_relaxed));
    return now - was;
}

static struct row *row_of(struct thread *t, const uint64_t *pcs, uint32_t n, bool by_thread) {
    const struct stack *k = stack_intern(&agent.stacks, &agent.arena, pcs, n);
    struct row *r = table_row(&cpu.table, &agent.arena, k, by_thread ? thread_who(t) : NULL, 0);
    if (r == &cpu.table.other)
        agent_drop(DROP_TABLE_FULL);
    return r;
}

static bool same_start(const struct link *l, const void *start) {
    return ((const struct purse *)l)->start == *(const uint64_t *)start;
}

static struct link *purse_new(struct arena *a, const void *start) {
    struct purse *p = arena_alloc(a, sizeof *p);
    if (!p)
        return NULL;
    p->start = *(const uint64_t *)start;
    return &p->link;
}

/* NULL for threads whose beginning is unknown: they have nothing in common. */
static struct purse *purse_of(struct thread *t) {
    if (!t->start)
        return NULL;
    return (struct purse *)chains_intern(&cpu.purses, &agent.arena, hash_mix(t->start), same_start,
                                         purse_new, &t->start);
}

/* For time without any sample to go to. */
static struct row *row_unsampled(struct thread *t, uint64_t start) {
    const uint64_t pcs[] = {frame_special(FRAME_UNSAMPLED), start};
    return row_of(t, pcs, start ? 2 : 1, false);
}

/* The time since the last sample of this thread. */
static void charge_rest(struct thread *t, uint64_t now) {
    uint64_t rest = charge(t, now);
    struct row *r = atomic_load(&t->last);
    if (!rest)
        return;
    struct purse *p = r ? NULL : purse_of(t);
    if (p)
        atomic_fetch_add(&p->ns, rest);
    else
        row_add(r ? r : row_unsampled(t, 0), VALUE_CPU, (int64_t)rest);
}

/* A sample was taken where the purse's threads spend their time: it stands for theirs, too. */
static void purse_spend(struct thread *t, const uint64_t *pcs, unsigned n) {
    struct purse *p = purse_of(t);
    uint64_t ns = p ? atomic_exchange(&p->ns, 0) : 0;
    if (!ns)
        return;
    struct row *r = row_of(t, pcs, n, false);
    row_add(r, VALUE_CPU, (int64_t)ns);
    atomic_store(&p->last, r);
}

/* When a profile is written nothing may stay behind. */
static void purse_empty(struct link *l, void *arg) {
    struct purse *p = (struct purse *)l;
    uint64_t ns = atomic_exchange(&p->ns, 0);
    struct row *r = atomic_load(&p->last);
    if (ns)
        row_add(r ? r : row_unsampled(NULL, p->start), VALUE_CPU, (int64_t)ns);
}

struct sample {
    struct thread *thread;
    uint64_t ns;
};

static void sample_add(void *arg, const uint64_t *pcs, unsigned n) {
    const struct sample *s = arg;
    struct row *r = row_of(s->thread, pcs, n, true);
    row_add(r, VALUE_SAMPLES, 1);
    row_add(r, VALUE_CPU, (int64_t)s->ns);
    atomic_store(&s->thread->last, r);
    purse_spend(s->thread, pcs, n);
}

static uint64_t some_period(struct thread *t) {
    uint64_t spread = cpu.period_ns / 5;
    return cpu.period_ns - spread / 2 + rng_below(&t->rng, spread + 1);
}

/*
 * A fixed period falls into step with periodic hosts, so every fourth sample brings another one,
 * within 10 %, and another phase. Between two of them the kernel re-arms: a system call at each
 * sample would be 0.7 us of it. A host of exactly our period is met at few phases in 40 ms: as
 * phases are drawn evenly its shares have no bias, but they scatter more. With eight samples to a
 * period they did as if there were a quarter of them; with four, as if half (docs/performance.md).
 */
static void vary_period(struct thread *t) {
    if (++t->samples % SAMPLES_PER_PERIOD)
        return;
    timer_arm(atomic_load(&t->timer), cpu.period_ns / 2 + rng_below(&t->rng, cpu.period_ns),
              some_period(t));
}

static void sample_take(struct thread *t, void *context) {
    struct sample s = {.thread = t};
    s.ns = charge(t, sys_clock_ns(CLOCK_THREAD_CPUTIME_ID));
    atomic_fetch_add_explicit(&cpu.samples, 1, memory_order_relaxed);
    capture_context(t, context, sample_add, &s);
    vary_period(t);
}

/* A late signal may find its slot in other hands. Asking the kernel costs 0.15 us, our own TLS
 * nothing, but an adopted thread may run on somebody else's. */
static bool is_running(struct thread *t) {
    return (!t->adopted && self.thread == t) ||
           atomic_load_explicit(&t->tid, memory_order_acquire) == sys_gettid();
}

bool kind_cpu_sample(siginfo_t *si, void *context) {
    if (si->si_code != SI_TIMER)
        return false;
    struct thread *t = thread_of_cookie(si->si_value.sival_ptr);
    if (!t)
        return false;
    if (agent_on() && is_running(t))
        sample_take(t, context);
    return true;
}

static void timer_end(struct thread *t) {
    int id = atomic_exchange(&t->timer, -1);
    if (id < 0)
        return;
    timer_drop(id);
    atomic_fetch_sub(&agent.threads.timers, 1);
}

/* Said once; every such thread is counted. */
static void timer_refused(enum drop why, int err) {
    struct log_line l;
    agent_drop(why);
    if (atomic_exchange(&cpu.complained, true))
        return;
    log_begin(&l, LOG_WARN, "cpu");
    text_str(&l.text, "no timer for a thread: ");
    if (why == DROP_TIMER_LIMIT)
        text_str(&l.text, "half of RLIMIT_SIGPENDING is in use, the rest is the program's");
    else
        text_errno(&l.text, err);
    text_str(&l.text, "; its CPU time is counted without stacks");
    log_end(&l);
}

static void timer_begin(struct thread *t, int signal) {
    timer_end(t); /* an upgraded slot may hold that of a namesake */
    pid_t tid = atomic_load(&t->tid);
    bool room = atomic_fetch_add(&agent.threads.timers, 1) < cpu.timer_limit;
    int id = room ? timer_make(tid, signal, thread_cookie(t)) : -1;
    if (id >= 0) {
        atomic_store(&t->timer, id);
        timer_arm(id, 1 + rng_below(&t->rng, cpu.period_ns), some_period(t));
        return;
    }
    atomic_fetch_sub(&agent.threads.timers, 1);
    if (!room)
        timer_refused(DROP_TIMER_LIMIT, 0);
    else if (proc_thread_exists(tid)) /* or it ended since we found it */
        timer_refused(DROP_TIMER, id);
}

/* A thread that we meet late has a past, which must not fall upon its first sample. At load it is
 * none of ours: the clock runs on through exec. */
static void thread_begin(struct thread *t) {
    uint64_t past = sys_clock_ns(sys_thread_clock(atomic_load(&t->tid)));
    if (!cpu.started)
        charge(t, past);
    else if (past > cpu.period_ns / 2)
        charge_rest(t, past);
    timer_begin(t, atomic_load(&agent.signals.sampling));
}

static void thread_end(struct thread *t) {
    timer_end(t);
    charge_rest(t, sys_clock_ns(sys_thread_clock(atomic_load(&t->tid))));
}

static void each_thread(void (*fn)(struct thread *)) {
    unsigned at = 0;
    for (struct thread *t; (t = thread_next(&at));)
        fn(t);
}

void kind_cpu_signal_changed(int signal) {
    each_thread(timer_end);
    each_thread(thread_begin);
}

static int start(uint64_t hz) {
    cpu.period_ns = 1000000000u / hz;
    struct rlimit64 limit = {0};
    sys_call_4(SYS_prlimit64, 0, RLIMIT_SIGPENDING, NULL, &limit);
    cpu.timer_limit = limit.rlim_cur / 2 > 0x7fffffff ? 0x7fffffff : (unsigned)(limit.rlim_cur / 2);
    if (!signals_take_sampling())
        return -EBUSY;
    each_thread(thread_begin);
    cpu.started = true;
    return 0;
}

static void stop(void) { each_thread(timer_end); }

/* The child's clocks start at zero; its only thread was registered anew before this. */
static void reset(void) {
    memset(&cpu.table, 0, sizeof cpu.table);
    memset(&cpu.purses, 0, sizeof cpu.purses);
    cpu.samples = cpu.written = 0;
    each_thread(thread_begin);
}

static void freeze_one(struct row *r, void *arg) { freeze_window(arg, r); }

static void rest_of(struct thread *t) {
    uint64_t now = sys_clock_ns(sys_thread_clock(atomic_load(&t->tid)));
    if (now)
        charge_rest(t, now);
}

static void snapshot(struct freeze *f) {
    each_thread(rest_of);
    chains_each(&cpu.purses, purse_empty, NULL);
    cpu.written = atomic_load(&cpu.samples);
    table_each(&cpu.table, freeze_one, f);
    f->snapshot.period = (int64_t)cpu.period_ns;
}

/* Where timers were refused, time without stacks is better than no word at all. */
static bool has_samples(void) { return atomic_load(&cpu.samples) > cpu.written || cpu.complained; }

const struct kind kind_cpu = {
    .start = start,
    .stop = stop,
    .snapshot = snapshot,
    .reset = reset,
    .thread_begin = thread_begin,
    .thread_end = thread_end,
    .has_samples = has_samples,
};
