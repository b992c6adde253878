#include "agent/dump.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "agent/agent.h"
#include "agent/freeze.h"
#include "agent/kind.h"
#include "agent/out.h"
#include "agent/proc.h"
#include "agent/self.h"
#include "agent/unwind.h"
#include "common/sys.h"
#include "proto/pprof.h"
#include "symbols/symbols.h"

enum { DUMP_STACK = 512 << 10, WAIT_STEPS = 2000, STEP_NS = 1000000 };

static struct {
    atomic_uint asked, served;
    atomic_uint lock;
    atomic_uint last;                                           /* the last set was begun */
    unsigned number[KIND_COUNT];                                /* of the latest file */
    uint64_t window_ns[KIND_COUNT], window_mono_ns[KIND_COUNT]; /* where the present window began */
    bool complained;
} dump;

static void comment_who(struct freeze *f) {
    char buf[256];
    struct text t = TEXT_ON(buf);
    text_str(&t, "cprof " CPROF_VERSION ", ");
    text_str(&t, agent.exe_name);
    text_str(&t, ", pid ");
    text_u64(&t, (uint64_t)agent.pid);
    text_str(&t, ", stacks by ");
    text_str(&t, unwind_name());
    snapshot_comment(&f->snapshot, buf);
}

static void comment_options(struct freeze *f) {
    char buf[600];
    struct text t = TEXT_ON(buf);
    text_str(&t, "#options=");
    text_str(&t, agent.asked);
    snapshot_comment(&f->snapshot, buf);
}

static void comment_drops(struct freeze *f) {
    for (unsigned i = 0; i < DROP_COUNT; i++) {
        uint64_t n = atomic_load(&agent.dropped[i]);
        char buf[200];
        struct text t = TEXT_ON(buf);
        if (!n)
            continue;
        text_u64(&t, n);
        text_char(&t, ' ');
        text_str(&t, drop_words[i]);
        snapshot_comment(&f->snapshot, buf);
    }
}

/* What the kernel says of the whole process, so that a reader can check us. */
static void comment_host(struct freeze *f, const struct symbols_report *names) {
    struct rusage ru = {0};
    sys_call_2(SYS_getrusage, RUSAGE_SELF, &ru);
    snapshot_comment_count(&f->snapshot, "host_user_us",
                           (uint64_t)ru.ru_utime.tv_sec * 1000000u + (uint64_t)ru.ru_utime.tv_usec);
    snapshot_comment_count(&f->snapshot, "host_system_us",
                           (uint64_t)ru.ru_stime.tv_sec * 1000000u + (uint64_t)ru.ru_stime.tv_usec);
    snapshot_comment_count(&f->snapshot, "host_cpu_ns", sys_clock_ns(CLOCK_PROCESS_CPUTIME_ID));
    snapshot_comment_count(&f->snapshot, "host_max_rss_kb", (uint64_t)ru.ru_maxrss);
    snapshot_comment_count(&f->snapshot, "host_rss_kb", proc_status("VmRSS", 0));
    snapshot_comment_count(&f->snapshot, "host_threads", proc_status("Threads", 0));
    snapshot_comment_count(&f->snapshot, "agent_bytes",
                           arena_mapped(&agent.arena) + atomic_load(&agent.modules.table_bytes));
    snapshot_comment_count(&f->snapshot, "walks", atomic_load(&agent.walks));
    snapshot_comment_count(&f->snapshot, "walks_complete", atomic_load(&agent.walks_complete));
    snapshot_comment_count(&f->snapshot, "stacks", atomic_load(&agent.stacks.chains.n));
    snapshot_comment_count(&f->snapshot, "locations_named", names->named);
    snapshot_comment_count(&f->snapshot, "locations_unnamed", names->unnamed);
    snapshot_comment_count(&f->snapshot, "files_changed_on_disk", names->files_stale);
}

static void window_set(struct snapshot *s, enum kind_id id) {
    uint64_t now = sys_clock_ns(CLOCK_REALTIME), mono = sys_clock_ns(CLOCK_MONOTONIC);
    bool first = !dump.window_mono_ns[id];
    s->time_ns = (int64_t)now;
    if (!s->kind->windowed)
        return;
    s->time_ns = (int64_t)(first ? agent.start_ns : dump.window_ns[id]);
    s->duration_ns = (int64_t)(mono - (first ? agent.start_mono_ns : dump.window_mono_ns[id]));
    dump.window_ns[id] = now;
    dump.window_mono_ns[id] = mono;
}

static void perf_map_path(struct text *t) {
    text_str(t, "/tmp/perf-");
    text_u64(t, (uint64_t)agent.pid);
    text_str(t, ".map");
}

static int write_out(struct freeze *f, enum kind_id id) {
    struct out o;
    int err = out_open(&o, f->snapshot.kind->name, ++dump.number[id]);
    if (err < 0)
        return err;
    err = pprof_write(&f->snapshot, o.fd, NULL);
    if (err < 0) {
        out_abandon(&o);
        return err;
    }
    err = out_commit(&o);
    struct log_line l;
    log_begin(&l, LOG_INFO, f->snapshot.kind->name);
    text_str(&l.text, err ? "not written: " : "wrote ");
    text_str(&l.text, o.path);
    if (!err)
        log_end(&l);
    return err;
}

static int write_kind(enum kind_id id) {
    struct freeze f;
    struct symbols_report names = {0};
    char map[64];
    struct text map_text = TEXT_ON(map);
    perf_map_path(&map_text);
    freeze_begin(&f, &kind_infos[id]);
    kinds[id]->snapshot(&f);
    window_set(&f.snapshot, id);
    if (agent.options.names)
        symbols_name(&f.snapshot, map, &names);
    freeze_name_rest(&f);
    comment_who(&f);
    comment_drops(&f);
    comment_options(&f);
    comment_host(&f, &names);
    int err = f.no_memory ? -ENOMEM : write_out(&f, id);
    freeze_done(&f);
    return err;
}

/* One line for the first failure; the rest is counted. A full disk must not fill the log as well.
 */
static void complain(const char *kind, int err) {
    agent_drop(DROP_DUMP);
    if (dump.complained)
        return;
    dump.complained = true;
    struct log_line l;
    struct out o;
    log_begin(&l, LOG_WARN, kind);
    text_str(&l.text, "profile not written to ");
    bool named = out_name(agent.options.out, agent.folder, agent.exe_name, kind, 1, 1, 0, o.path,
                          sizeof o.path);
    text_str(&l.text, named ? o.path : agent.options.out);
    text_str(&l.text, ": ");
    text_errno(&l.text, err);
    text_str(&l.text, "; the program goes on, see CPROF_OUT");
    log_end(&l);
}

static bool due(enum kind_id id, enum dump_why why) {
    if (!agent.options.kinds[id].on || !kinds[id])
        return false;
    return why != DUMP_EXIT || (kind_infos[id].at_exit && kinds[id]->has_samples());
}

static bool any_due(enum dump_why why) {
    bool any = false;
    for (unsigned id = 0; id < KIND_COUNT; id++)
        any = any || due(id, why);
    return any;
}

/* Under the lock. */
static int write_set(enum dump_why why) {
    int files = 0, first = 0;
    if (!any_due(why))
        return 0;
    self_enter();
    modules_refresh(false);
    threads_read_names();
    for (unsigned id = 0; id < KIND_COUNT; id++) {
        int err = due(id, why) ? write_kind(id) : 1;
        files += err == 0;
        if (err < 0)
            complain(kind_infos[id].name, err);
        if (err < 0 && !first)
            first = err;
    }
    self_leave();
    return files ? files : first;
}

static bool lock_try(void) {
    return atomic_exchange_explicit(&dump.lock, 1, memory_order_acquire) == 0;
}

static void unlock(void) { atomic_store_explicit(&dump.lock, 0, memory_order_release); }

static void pause_step(void) {
    static const uint32_t never = 0;
    sys_futex_wait(&never, 0, STEP_NS);
}

/* Bounded: a dump that hangs (a dead NFS server) must not hang the host's exit. */
static bool lock_wait(void) {
    for (int i = 0; i < WAIT_STEPS; i++) {
        if (lock_try())
            return true;
        pause_step();
    }
    return false;
}

bool dump_wanted(void) { return atomic_load(&dump.served) != atomic_load(&dump.asked); }

void dump_serve(void) {
    while (dump_wanted() && lock_try()) {
        unsigned asked = atomic_load(&dump.asked);
        if (atomic_exchange(&dump.served, asked) != asked)
            write_set(DUMP_SIGNAL);
        unlock();
    }
}

int dump_now(enum dump_why why) {
    if (!lock_wait())
        return -EBUSY;
    int n = write_set(why);
    unlock();
    return n;
}

struct call {
    void (*fn)(void);
};

static void call(void *arg) { ((struct call *)arg)->fn(); }

/* A handler may have come on 8 KB of the host's: zlib and libelf want more. */
static void on_own_stack(void (*fn)(void)) {
    struct call c = {fn};
    char *stack = sys_map(DUMP_STACK);
    if (!stack) {
        agent_drop(DROP_DUMP);
        return;
    }
    const uint64_t all = ~(uint64_t)0;
    uint64_t mask;
    sys_sigmask(SIG_SETMASK, &all, &mask);
    sys_call_on_stack(stack + DUMP_STACK, call, &c);
    sys_sigmask(SIG_SETMASK, &mask, NULL);
    sys_unmap(stack, DUMP_STACK);
}

void dump_request(enum dump_why why) {
    atomic_fetch_add(&dump.asked, 1);
    if (worker_running())
        worker_wake();
    else if (self.busy)
        self.pending |= PENDING_DUMP;
    else
        on_own_stack(dump_serve);
}

/* The lock is kept: nobody begins a file that the process would not live to finish. */
static void write_last(void) {
    if (lock_wait() && any_due(DUMP_EXIT))
        write_set(DUMP_EXIT);
}

void dump_last(void) {
    if (self.busy || atomic_exchange(&dump.last, 1))
        return;
    if (agent.options.exit != EXIT_NEVER && any_due(DUMP_EXIT))
        on_own_stack(write_last);
    else
        lock_wait();
}

void dump_reset(void) { memset(&dump, 0, sizeof dump); }
