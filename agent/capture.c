/*
 * ANYWHERE. A bit of `free` for each stack that nobody walks on: taking one is a compare and
 * exchange, and a handler that comes in between takes the next one.
 */
#include "agent/capture.h"

#include "agent/agent.h"
#include "agent/self.h"
#include "agent/unwind.h"
#include "common/sys.h"

enum { WALK_STACKS = 64, WALK_STACK_SIZE = 64 << 10, MAX_DEPTH = 2048 };

/* Of the library that this is part of, made by the linker. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char etext[] __attribute__((visibility("hidden")));

static struct {
    atomic_uint_fast64_t taken; /* a bit for each stack that somebody walks on */
    char *_Atomic stacks[WALK_STACKS];
    atomic_uint walking; /* threads on such a stack */
    atomic_bool closed;  /* a fork is under way: nobody begins a walk */
} capture;

/* A stack for one walk, mapped when first used; -1 if all are taken. */
static int take(void) {
    uint64_t bits = atomic_load(&capture.taken);
    int i;
    do {
        if (bits == ~(uint64_t)0)
            return -1;
        i = __builtin_ctzll(~bits);
    } while (!atomic_compare_exchange_weak(&capture.taken, &bits, bits | (uint64_t)1 << i));
    if (!atomic_load(&capture.stacks[i]))
        atomic_store(&capture.stacks[i], sys_map(WALK_STACK_SIZE));
    if (atomic_load(&capture.stacks[i]))
        return i;
    atomic_fetch_and(&capture.taken, ~((uint64_t)1 << i));
    return -1;
}

static void give_back(int i) { atomic_fetch_and(&capture.taken, ~((uint64_t)1 << i)); }

struct job {
    struct thread *thread; /* NULL: of no registered thread */
    const ucontext_t *context;
    capture_fn *fn;
    void *arg;
    bool from_door;
};

/* On the agent's own stack. */
static void walk(void *arg) {
    const struct job *j = arg;
    uint64_t pcs[MAX_DEPTH];
    struct walk w;
    walk_init(&w, j->context, pcs, agent.options.depth);
    if (j->thread) {
        w.plain_only = j->thread->adopted;
        w.plain_lo = sys_context_sp(j->context);
        w.plain_n = thread_stack_reach(j->thread, w.plain_lo);
    }
    if (j->from_door) {
        w.door_lo = (uintptr_t)__ehdr_start;
        w.door_n = (uintptr_t)etext - w.door_lo;
    }
    unwind_walk(&w);
    j->fn(j->arg, pcs, w.n);
}

static void leaf_only(const struct job *j) {
    const uint64_t pcs[] = {unwind_pc(j->context), frame_special(FRAME_NOT_WALKED)};
    j->fn(j->arg, pcs, 2);
    agent_drop(DROP_NO_STACK);
}

static void run(struct job *j) {
    atomic_fetch_add(&capture.walking, 1);
    int stack = atomic_load(&capture.closed) ? -1 : take();
    if (stack < 0) {
        leaf_only(j);
    } else {
        sys_call_on_stack(atomic_load(&capture.stacks[stack]) + WALK_STACK_SIZE, walk, j);
        give_back(stack);
    }
    atomic_fetch_sub(&capture.walking, 1);
}

void capture_context(struct thread *t, const ucontext_t *context, capture_fn *fn, void *arg) {
    struct job j = {t, context, fn, arg, .from_door = false};
    bool own_tls = !t->adopted;
    if (own_tls)
        self_enter();
    run(&j);
    if (own_tls)
        self_leave();
}

static bool is_ours(uint64_t pc) { return pc >= (uintptr_t)__ehdr_start && pc < (uintptr_t)etext; }

/* A unit test, where everything is ours, keeps everything. Of a walk that ended in our own frames
 * [truncated] is left. */
static void intern(void *arg, const uint64_t *pcs, unsigned n) {
    const struct stack **ret = arg;
    unsigned skip = 0;
    while (skip < n && is_ours(pcs[skip]))
        skip++;
    if (skip == n)
        skip = 0;
    *ret = stack_intern(&agent.stacks, &agent.arena, pcs + skip, n - skip);
}

/* A thread in front of its registration, or behind its end, has no known stack bounds. */
const struct stack *capture_here(void) {
    const struct stack *stack = NULL;
    ucontext_t here;
    struct job j = {self.thread, &here, intern, &stack, .from_door = true};
    sys_context_here(&here);
    run(&j);
    return stack;
}

const struct stack *capture_other(const ucontext_t *context) {
    const struct stack *stack = NULL;
    struct job j = {NULL, context, intern, &stack};
    run(&j);
    return stack;
}

void capture_gate(bool open) {
    atomic_store(&capture.closed, !open);
    for (int tries = 0; !open && atomic_load(&capture.walking) && tries < 10000; tries++)
        sys_yield();
}

void capture_reset(void) {
    atomic_store(&capture.taken, 0);
    atomic_store(&capture.walking, 0);
}
