/*
 * Not a test but a judge: preloaded into any program, it looks some hundred times a second which of
 * the program's threads sleep in a system call and walks them from outside, as unwind_remote() does
 * from a pc and a stack pointer. Then a signal interrupts the thread where it sleeps, and what its
 * handler walks from all registers is the truth. At exit it prints how many walks came to the root,
 * how many agree frame by frame, and where the others part. tests/agreement/sleepers.sh runs it
 * over programs of many kinds.
 *
 *     SLEEPERS=file LD_PRELOAD=.../libsleepers.so program
 *     SLEEPERS=file SLEEPERS_ONCE=2 ...    after so many seconds every thread once, no signals: to
 *                                          compare with a debugger that looks at the same process
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/proc.h"
#include "agent/unwind.h"
#include "common/sys.h"

enum { DEPTH = 512, THREADS = 256, STACK = 256 << 10, KEPT = 200, PAUSE_NS = 3000000 };

static struct {
    char file[512]; /* a copy: programs write their title over the environment */
    int once;       /* seconds, 0: again and again */
    char *stack;
    pid_t self;
    pid_t tids[THREADS];
    unsigned n_tids;
    pid_t deaf[THREADS]; /* that do not answer: of them there is no truth */
    unsigned n_deaf, alone, alone_complete;
    /* of the thread that is asked now */
    atomic_int asked;
    atomic_bool answered;
    struct walk inside, outside;
    uint64_t inside_pcs[DEPTH], outside_pcs[DEPTH];
    uint64_t pc, sp;
    /* sums */
    unsigned walks, searched, complete, truth_complete, same, same_searched, moved, n_kept;
    char kept[KEPT][400];
} judge;

static void place(char *to, size_t n, uint64_t pc) {
    Dl_info info = {0};
    if (frame_is_special(pc)) {
        snprintf(to, n, "%s", pc ? frame_is_elided(pc) ? "[elided]" : frame_names[pc] : "end");
    } else if (!dladdr((void *)(uintptr_t)pc, &info) || !info.dli_fname) {
        snprintf(to, n, "%#lx", (unsigned long)pc);
    } else {
        const char *slash = strrchr(info.dli_fname, '/');
        snprintf(to, n, "%s+%#lx(%s)", slash ? slash + 1 : info.dli_fname,
                 (unsigned long)(pc - (uintptr_t)info.dli_fbase),
                 info.dli_sname ? info.dli_sname : "?");
    }
}

static void report(void) {
    FILE *out = fopen(judge.file, "a");
    if (!out)
        return;
    fprintf(out,
            "walks %u searched %u complete %u truth_complete %u same %u same_searched %u moved %u "
            "alone %u alone_complete %u\n",
            judge.walks, judge.searched, judge.complete, judge.truth_complete, judge.same,
            judge.same_searched, judge.moved, judge.alone, judge.alone_complete);
    for (unsigned i = 0; i < judge.n_kept; i++)
        fprintf(out, "parts after %s\n", judge.kept[i]);
    fclose(out);
    judge.walks = judge.alone = 0;
}

static void walk_inside(void *context) {
    walk_init(&judge.inside, context, judge.inside_pcs, DEPTH);
    unwind_walk(&judge.inside);
}

static void on_signal(int sig, siginfo_t *si, void *context) {
    if (atomic_load(&judge.asked) != sys_gettid())
        return;
    judge.pc = sys_context_pc(context);
    judge.sp = sys_context_sp(context);
    sys_call_on_stack(judge.stack + STACK, walk_inside, context);
    atomic_store(&judge.answered, true);
}

/* The innermost address is that of the system call in one and that behind it in the other. */
static void compare(void) {
    const struct walk *a = &judge.outside, *b = &judge.inside;
    unsigned n = 1;
    while (n < a->n && n < b->n && a->pcs[n] == b->pcs[n])
        n++;
    bool same = n == a->n && n == b->n;
    judge.walks++;
    judge.searched += a->guessed > 0;
    judge.complete += a->end == WALK_ROOT;
    judge.truth_complete += b->end == WALK_ROOT;
    judge.same += same;
    judge.same_searched += same && a->guessed;
    if ((same && a->end == WALK_ROOT) || judge.n_kept == KEPT)
        return;
    char common[80], ours[80], theirs[80];
    place(common, sizeof common, a->pcs[n - 1]);
    place(ours, sizeof ours, n < a->n ? a->pcs[n] : 0);
    place(theirs, sizeof theirs, n < b->n ? b->pcs[n] : 0);
    snprintf(judge.kept[judge.n_kept++], sizeof judge.kept[0],
             "%s: outside %s inside %s, frame %u, %u guessed, end %d", common, ours, theirs, n,
             a->guessed, (int)a->end);
}

/* The same place and no CPU time between: it did not move. */
static bool walk_outside(pid_t tid) {
    struct proc_blocked at, again;
    uint64_t cpu = sys_clock_ns(sys_thread_clock(tid));
    if (!proc_thread_blocked(tid, &at) || at.call < 0)
        return false;
    walk_init(&judge.outside, NULL, judge.outside_pcs, DEPTH);
    unwind_remote(&judge.outside, at.pc, at.sp);
    if (!proc_thread_blocked(tid, &again) || again.pc != at.pc || again.sp != at.sp ||
        sys_clock_ns(sys_thread_clock(tid)) != cpu)
        return false;
    judge.pc = at.pc;
    judge.sp = at.sp;
    return true;
}

static bool is_deaf(pid_t tid) {
    for (unsigned i = 0; i < judge.n_deaf; i++)
        if (judge.deaf[i] == tid)
            return true;
    return false;
}

static bool answers(pid_t tid) {
    const struct timespec moment = {0, 100000};
    judge.answered = false;
    judge.asked = tid;
    if (is_deaf(tid) || sys_call_3(SYS_tgkill, getpid(), tid, SIGURG) != 0)
        return false;
    for (int tries = 0; !judge.answered && tries < 2000; tries++)
        nanosleep(&moment, NULL);
    judge.asked = 0;
    if (!judge.answered && judge.n_deaf < THREADS)
        judge.deaf[judge.n_deaf++] = tid;
    return judge.answered;
}

static void ask(pid_t tid) {
    if (!walk_outside(tid))
        return;
    uint64_t pc = judge.pc, sp = judge.sp;
    if (!answers(tid)) {
        judge.alone++;
        judge.alone_complete += judge.outside.end == WALK_ROOT;
    } else if (judge.sp == sp && pc - judge.pc <= 2) {
        compare();
    } else {
        judge.moved++;
    }
}

static void write_down(pid_t tid) {
    char name[300];
    if (!walk_outside(tid))
        return;
    FILE *out = fopen(judge.file, "a");
    if (!out)
        return;
    fprintf(out, "thread %d frames %u end %d guessed %u\n", tid, judge.outside.n,
            (int)judge.outside.end, judge.outside.guessed);
    for (unsigned i = 0; i < judge.outside.n; i++) {
        place(name, sizeof name, judge.outside_pcs[i]);
        fprintf(out, "%#lx %s\n", (unsigned long)judge.outside_pcs[i] + (i > 0), name);
    }
    fclose(out);
}

static void list(pid_t tid, void *arg) {
    if (tid != judge.self && judge.n_tids < THREADS)
        judge.tids[judge.n_tids++] = tid;
}

static void *look(void *arg) {
    const struct timespec pause = {judge.once, judge.once ? 0 : PAUSE_NS};
    judge.self = sys_gettid();
    do {
        nanosleep(&pause, NULL);
        modules_refresh(false);
        judge.n_tids = 0;
        proc_each_thread(list, NULL);
        for (unsigned i = 0; i < judge.n_tids; i++)
            (judge.once ? write_down : ask)(judge.tids[i]);
    } while (!judge.once);
    return NULL;
}

/* All signals are the program's. */
static void begin(void) {
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, look, NULL) == 0)
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void begin_in_child(void) {
    judge.walks = judge.searched = judge.complete = judge.truth_complete = 0;
    judge.same = judge.same_searched = judge.moved = judge.n_kept = 0;
    judge.alone = judge.alone_complete = judge.n_deaf = 0;
    begin();
}

static __attribute__((constructor)) void load(void) {
    struct sigaction act = {.sa_sigaction = on_signal,
                            .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    const char *once = getenv("SLEEPERS_ONCE");
    snprintf(judge.file, sizeof judge.file, "%s", getenv("SLEEPERS") ? getenv("SLEEPERS") : "");
    judge.once = once ? atoi(once) : 0;
    judge.stack = sys_map(STACK);
    if (!judge.file[0] || !judge.stack || !modules_refresh(true))
        return;
    unwind_load(STACK_CFI);
    sigaction(SIGURG, &act, NULL);
    pthread_atfork(NULL, NULL, begin_in_child);
    begin();
}

static __attribute__((destructor)) void done(void) {
    if (judge.file[0])
        report();
}
