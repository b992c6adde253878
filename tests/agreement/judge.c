/*
 * Not a test but a judge: preloaded into any program, it has it interrupted thousands of times a
 * second by a process of its own (timers fire on scheduler ticks only) and walks the stack with two
 * engines in the same handler, ours and libunwind. At exit it prints how many walks agree frame by
 * frame, how many reached the root, and where the others part: "leaf-most common frame: ours |
 * theirs". tests/agreement/run.sh runs it over programs of many kinds.
 *
 *     AGREEMENT=file LD_PRELOAD=.../libagreement.so program
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/self.h"
#include "agent/unwind.h"
#include "common/sys.h"

enum { DEPTH = 512, KEPT = 20000, STACK = 256 << 10, WALKERS = 16 };

struct parting {
    uint64_t common; /* the last frame both saw */
    uint64_t ours, theirs;
    uint64_t leaf;
    enum walk_end end; /* of ours */
};

static struct {
    atomic_uint walks, same, ours_complete, theirs_complete, ours_only, n_partings;
    atomic_uint busy;
    char *stack;
    struct parting partings[KEPT];
    bool loaded;
} judge;

static __thread bool inside __attribute__((tls_model("initial-exec")));

struct pair {
    const ucontext_t *context;
    uint64_t ours[DEPTH], theirs[DEPTH];
};

static struct walk walk_with(const struct unwinder *u, const ucontext_t *context, uint64_t *pcs) {
    struct walk w = {.context = context, .pcs = pcs, .cap = DEPTH};
    u->walk(&w);
    walk_finish(&w);
    return w;
}

static void compare(const struct walk *a, const struct walk *b) {
    unsigned n = 0;
    while (n < a->n && n < b->n && a->pcs[n] == b->pcs[n])
        n++;
    judge.walks++;
    judge.ours_complete += a->end == WALK_ROOT;
    judge.theirs_complete += b->end == WALK_ROOT;
    bool same = n == a->n && n == b->n;
    judge.same += same;
    if (same && a->end == WALK_ROOT)
        return;
    judge.ours_only += a->end == WALK_ROOT && b->end != WALK_ROOT;
    unsigned i = atomic_fetch_add(&judge.n_partings, 1);
    if (i < KEPT)
        judge.partings[i] = (struct parting){n ? a->pcs[n - 1] : 0, n < a->n ? a->pcs[n] : 0,
                                             n < b->n ? b->pcs[n] : 0, a->pcs[0], a->end};
}

static void both(void *arg) {
    struct pair *p = arg;
    struct walk a = walk_with(&unwind_cfi, p->context, p->ours);
    struct walk b = walk_with(&unwind_libunwind, p->context, p->theirs);
    compare(&a, &b);
}

/* One at a time, on a stack of its own, as in the agent. */
static void on_signal(int sig, siginfo_t *si, void *context) {
    static struct pair pair;
    if (inside || atomic_exchange(&judge.busy, 1))
        return;
    inside = true;
    pair.context = context;
    sys_call_on_stack(judge.stack + STACK, both, &pair);
    inside = false;
    atomic_store(&judge.busy, 0);
}

/* Not our host's child, so that its wait() sees nothing; it ends with the host. */
static void interrupt_from_outside(pid_t host) {
    const struct timespec pause = {0, 100000};
    pid_t between = fork();
    if (between > 0)
        waitpid(between, NULL, 0);
    if (between != 0)
        return;
    if (fork() == 0)
        while (nanosleep(&pause, NULL) == 0 && kill(host, SIGPROF) == 0) {
        }
    _exit(0);
}

static __attribute__((constructor)) void load(void) {
    struct sigaction act = {.sa_sigaction = on_signal,
                            .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    if (!getenv("AGREEMENT"))
        return;
    judge.stack = sys_map(STACK);
    modules_refresh(true);
    judge.loaded = judge.stack && unwind_libunwind.load() == 0 && unwind_cfi.load() == 0;
    sigfillset(&act.sa_mask);
    sigaction(SIGPROF, &act, NULL);
    if (judge.loaded)
        interrupt_from_outside(getpid());
}

static void print_place(FILE *out, uint64_t pc) {
    Dl_info info = {0};
    if (frame_is_special(pc)) {
        fprintf(out, "%s", pc ? frame_is_elided(pc) ? "[elided]" : frame_names[pc] : "end");
    } else if (!dladdr((void *)(uintptr_t)pc, &info) || !info.dli_fname) {
        fprintf(out, "%#lx", (unsigned long)pc);
    } else {
        const char *slash = strrchr(info.dli_fname, '/');
        fprintf(out, "%s+%#lx(%s)", slash ? slash + 1 : info.dli_fname,
                (unsigned long)(pc - (uintptr_t)info.dli_fbase),
                info.dli_sname ? info.dli_sname : "?");
    }
}

static __attribute__((destructor)) void report(void) {
    if (!judge.loaded)
        return;
    signal(SIGPROF, SIG_IGN);
    FILE *out = fopen(getenv("AGREEMENT"), "a");
    if (!out)
        return;
    fprintf(out, "walks %u same %u ours_complete %u theirs_complete %u ours_only %u\n", judge.walks,
            judge.same, judge.ours_complete, judge.theirs_complete, judge.ours_only);
    for (unsigned i = 0; i < judge.n_partings && i < KEPT; i++) {
        const struct parting *p = &judge.partings[i];
        fprintf(out, "parts after ");
        print_place(out, p->common);
        fprintf(out, ": ours ");
        print_place(out, p->ours);
        fprintf(out, " theirs ");
        print_place(out, p->theirs);
        fprintf(out, " leaf ");
        print_place(out, p->leaf);
        fprintf(out, " end %d\n", (int)p->end);
    }
    fclose(out);
}
