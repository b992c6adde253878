#include "agent/agent.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/auxv.h>

#include "agent/capture.h"
#include "agent/dump.h"
#include "agent/kind.h"
#include "agent/proc.h"
#include "agent/registered.h"
#include "agent/self.h"
#include "agent/unwind.h"
#include "common/clock.h"
#include "common/pool.h"
#include "common/sys.h"
#include "symbols/symbols.h"

struct agent agent;
__thread struct self self;

#define DROP(name, words) words,
const char *const drop_words[DROP_COUNT] = {DROPS(DROP)};
#undef DROP

bool agent_is_foreign(void) { return sys_getpid() != agent.pid; }

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The name a program was started by, which for redis-server is not that of the file behind its
 * links. Needs no system call. */
static void read_name(void) {
    struct text t = TEXT_ON(agent.exe_name);
    const char *started_as = (const char *)getauxval(AT_EXECFN);
    bool by_path = started_as && started_as[0] && strncmp(started_as, "/dev/fd/", 8) != 0;
    text_str(&t, by_path ? base_name(started_as) : "program");
}

static void read_paths(void) {
    long n = sys_call_4(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", agent.exe_path,
                        sizeof agent.exe_path - 1);
    struct text t = TEXT_ON(agent.exe_path);
    if (n > 0)
        agent.exe_path[n] = '\0';
    else
        text_str(&t, (const char *)getauxval(AT_EXECFN));
    if (sys_call_2(SYS_getcwd, agent.folder, sizeof agent.folder) < 0 || agent.folder[0] != '/')
        agent.folder[0] = '\0';
}

static void read_clocks(void) {
    agent.pid = sys_getpid();
    agent.start_ns = sys_clock_ns(CLOCK_REALTIME);
    agent.start_mono_ns = sys_clock_ns(CLOCK_MONOTONIC);
}

/* Our timers' signals carry it, so that a host's value on the same number is told apart. */
static uint32_t make_cookie(void) {
    uint64_t random = 0;
    const void *seed = (const void *)getauxval(AT_RANDOM);
    if (seed)
        memcpy(&random, seed, sizeof random);
    return (uint32_t)hash_mix(random ^ sys_clock_ns(CLOCK_MONOTONIC)) | 1;
}

static void not_yet(const char *variable, const char *what) {
    struct log_line l;
    log_begin(&l, LOG_WARN, variable);
    text_str(&l.text, what);
    text_str(&l.text, " is not available yet in this version; it is ignored");
    log_end(&l);
}

static void say_what_is_missing(const struct options *o) {
    for (unsigned id = 0; id < KIND_COUNT; id++)
        if (o->kinds[id].on && o->kinds[id].asked && !kinds[id])
            not_yet("CPROF", kind_infos[id].name);
    if (o->http[0])
        not_yet("CPROF_HTTP", "the server");
}

static bool anything_on(const struct options *o) {
    for (unsigned id = 0; id < KIND_COUNT; id++)
        if (o->kinds[id].on && kinds[id])
            return true;
    return false;
}

static void start_kinds(void) {
    for (unsigned id = 0; id < KIND_COUNT; id++) {
        int err = agent.options.kinds[id].on && kinds[id]
                      ? kinds[id]->start(agent.options.kinds[id].rate)
                      : 0;
        if (err == 0)
            continue;
        agent.options.kinds[id].on = false;
        if (err == KIND_STANDS_DOWN)
            continue;
        struct log_line l;
        log_begin(&l, LOG_WARN, kind_infos[id].name);
        text_str(&l.text, "cannot start: ");
        text_errno(&l.text, err);
        text_str(&l.text, "; this profile is off");
        log_end(&l);
    }
}

/* Threads of libraries loaded before us: registered only, the kinds look through all at their
 * start. */
static void thread_keep(struct thread *t) {}

void agent_start(char *const *envp) {
    read_name();
    options_parse(&agent.options, envp, agent.exe_name);
    if (agent.options.off)
        return;
    log_pin();
    read_paths();
    read_clocks();
    struct text asked = TEXT_ON(agent.asked);
    options_print(&agent.options, envp, &asked);
    say_what_is_missing(&agent.options);
    if (!anything_on(&agent.options))
        return;
    self_enter();
    clock_load();
    agent.arena.limit = agent.options.memory;
    agent.threads.cookie = make_cookie();
    if (proc_status("Seccomp", 0))
        sys_peek_by_probe();
    if (agent.options.names && symbols_load() != 0)
        log_say(LOG_INFO, "CPROF_SYMBOLS",
                "libelf.so.1 cannot be loaded; profiles hold addresses only");
    modules_refresh(true);
    unwind_load(agent.options.stack);
    self.stack_hi = thread_stack_end(getauxval(AT_EXECFN));
    self.thread = thread_add(agent.pid, false, 0);
    signals_start(agent.options.signal, agent.options.exit == EXIT_TERM);
    atomic_store_explicit(&agent.state, AGENT_ON, memory_order_release);
    threads_scan(thread_keep);
    start_kinds();
    pthread_atfork(agent_fork_prepare, agent_fork_parent, agent_fork_child);
    self_leave();
}

void agent_work(void) {
    if (agent_on() && agent.options.every_ns)
        worker_start();
}

/* After this nobody collects; what is still mapped stays, because threads may be in any of it. */
void agent_exit(void) {
    if (!agent_on() || agent_is_foreign())
        return;
    dump_last();
    enum agent_state on = AGENT_ON;
    atomic_compare_exchange_strong(&agent.state, &on, AGENT_DONE);
}

void agent_write_now(void) {
    if (agent_on() && !agent_is_foreign() && agent.options.exit != EXIT_NEVER)
        dump_now(DUMP_EXIT);
}

void agent_stand_down(const char *why) {
    if (!agent_on() || agent_is_foreign())
        return;
    agent_write_now();
    log_say(LOG_INFO, "agent", why);
    atomic_store(&agent.state, AGENT_DONE);
    worker_stop();
    self_enter();
    for (unsigned id = 0; id < KIND_COUNT; id++)
        if (agent.options.kinds[id].on && kinds[id])
            kinds[id]->stop();
    self_leave();
}

/* Ours are the first registered, hence the last to run before fork and the first after it: handlers
 * of the host that allocate or lock find the agent at work. Between them the pool is locked by this
 * thread: a dump that a signal asks for meanwhile waits until it is open again. */
void agent_fork_prepare(void) {
    self_enter();
    capture_gate(false);
    pool_fork_prepare();
}

void agent_fork_parent(void) {
    pool_fork_release();
    capture_gate(true);
    self_leave();
}

/* The tables were wiped by the kernel; what points into them is forgotten here. Names, options and
 * loaded libraries stay. */
static void start_anew(void) {
    self_enter();
    read_clocks();
    arena_reset(&agent.arena);
    memset(&agent.stacks, 0, sizeof agent.stacks);
    threads_reset();
    modules_reset();
    registered_reset();
    signals_reset();
    memset(&agent.worker, 0, sizeof agent.worker);
    memset(agent.dropped, 0, sizeof agent.dropped);
    agent.walks = agent.walks_complete = 0;
    dump_reset();
    unwind_reset();
    capture_reset();
    self.pending = 0;
    self.thread = thread_add(agent.pid, false, 0);
    for (unsigned id = 0; id < KIND_COUNT; id++)
        if (agent.options.kinds[id].on && kinds[id])
            kinds[id]->reset();
    self_leave();
    if (agent.options.every_ns)
        worker_start();
}

void agent_fork_child_raw(void) {
    capture_gate(true);
    if (agent_on())
        start_anew();
}

void agent_fork_child(void) {
    pool_fork_release();
    agent_fork_child_raw();
    self_leave();
}

void self_run_pending(void) {
    unsigned pending = __atomic_exchange_n(&self.pending, 0, __ATOMIC_RELAXED);
    if (pending & PENDING_DUMP)
        dump_request(DUMP_SIGNAL);
}
