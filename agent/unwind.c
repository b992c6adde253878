#include "agent/unwind.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/registered.h"
#include "common/sys.h"

static const struct unwinder *engine = &unwind_fp;

static void say_second_best(enum stack_engine asked, const struct unwinder *failed) {
    struct log_line l;
    log_begin(&l, asked == STACK_AUTO ? LOG_INFO : LOG_WARN, "CPROF_STACK");
    text_str(&l.text, failed->name);
    text_str(&l.text, failed == &unwind_cfi ? " failed on a known stack" : " cannot be loaded");
    text_str(&l.text, "; stacks are walked by ");
    text_str(&l.text, engine->name);
    log_end(&l);
}

void unwind_load(enum stack_engine asked) {
    static const struct unwinder *const best_first[] = {&unwind_cfi, &unwind_libunwind, &unwind_fp};
    const struct unwinder *failed = NULL;
    unsigned first = asked == STACK_FP ? 2 : asked == STACK_LIBUNWIND;
    for (unsigned i = first; i < sizeof best_first / sizeof best_first[0]; i++) {
        engine = best_first[i];
        if (!engine->load || engine->load() == 0)
            break;
        failed = failed ? failed : engine;
    }
    if (failed)
        say_second_best(asked, failed);
}

const char *unwind_name(void) { return engine->name; }

void unwind_reset(void) {
    if (engine->reset)
        engine->reset();
}

static void count(const struct walk *w) {
    static const enum drop causes[] = {
        [WALK_CUT] = DROP_TRUNCATED,         [WALK_NOT_CODE] = DROP_NOT_CODE,
        [WALK_UNREADABLE] = DROP_UNREADABLE, [WALK_NO_RULE] = DROP_NO_RULE,
        [WALK_ENDLESS] = DROP_ENDLESS,
    };
    if (w->seen > w->cap - 2)
        agent_drop(DROP_DEPTH);
    atomic_fetch_add_explicit(&agent.walks, 1, memory_order_relaxed);
    if (w->end == WALK_ROOT)
        atomic_fetch_add_explicit(&agent.walks_complete, 1, memory_order_relaxed);
    else
        agent_drop(causes[w->end]);
}

/*
 * Libraries that came after load may have gone, and others come in their place, since the list of
 * modules was read: the walk was by the wrong rules then, and would get the wrong names. Each such
 * module met is asked for its mark. False if one has changed; at the second try its frames are
 * given up. Frames in the right one are told from those of its forerunners. Where all libraries
 * were there at load: two loads.
 */
struct asked {
    const struct module *modules[8]; /* that hold; the latest few */
    unsigned n;
};

static bool holds(struct asked *a, const struct module *m) {
    for (unsigned i = 0; i < 8; i++)
        if (a->modules[i] == m)
            return true;
    if (!module_holds(m))
        return false;
    a->modules[a->n++ % 8] = m;
    return true;
}

static bool settle(struct walk *w, bool second) {
    const struct module_list *l =
        atomic_load_explicit(&agent.modules.current, memory_order_acquire);
    uint64_t lo = l ? l->passing_lo : UINT64_MAX, hi = l ? l->passing_hi : 0;
    struct asked asked = {0};
    for (unsigned i = 0; i < w->n && lo < hi; i++) {
        if (w->pcs[i] < lo || w->pcs[i] >= hi)
            continue;
        const struct module_range *r = module_range_find(w->pcs[i]);
        const struct module *m = r ? r->module : NULL;
        if (!m || m->pinned)
            continue;
        bool right = holds(&asked, m);
        if (!right && !second)
            return false;
        w->pcs[i] = right ? frame_of_tenant(w->pcs[i], m->tenant) : frame_special(FRAME_UNKNOWN);
    }
    return true;
}

static void walk_and_settle(struct walk *w, void (*walk)(struct walk *w)) {
    walk(w);
    walk_finish(w);
    if (!settle(w, false)) {
        modules_refresh(false);
        w->seen = 0;
        walk(w);
        walk_finish(w);
        settle(w, true);
    }
    count(w);
}

void unwind_walk(struct walk *w) {
    walk_and_settle(w, (w->plain_only && !engine->any_thread ? &unwind_fp : engine)->walk);
}

/* Not a matter of the engine: frame pointers need the register that is not known, and libunwind
 * knows no way without it. */
void unwind_remote(struct walk *w, uint64_t pc, uint64_t sp) {
    w->pc = pc;
    w->sp = sp;
    w->plain_n = 0;
    walk_and_settle(w, walk_remote);
}

static void reverse(uint64_t *at, unsigned n) {
    for (unsigned i = 0; i < n / 2; i++) {
        uint64_t t = at[i];
        at[i] = at[n - 1 - i];
        at[n - 1 - i] = t;
    }
}

void walk_finish(struct walk *w) {
    unsigned leaf = walk_leaf_part(w), root = walk_root_part(w);
    w->n = w->seen;
    if (w->seen > leaf + root) {
        unsigned oldest = (w->seen - leaf) % root;
        reverse(&w->pcs[leaf], oldest);
        reverse(&w->pcs[leaf + oldest], root - oldest);
        reverse(&w->pcs[leaf], root);
        memmove(&w->pcs[leaf + 1], &w->pcs[leaf], root * sizeof w->pcs[0]);
        w->pcs[leaf] = frame_elided(w->seen - leaf - root);
        w->n = leaf + root + 1;
    }
    if (w->end != WALK_ROOT)
        w->pcs[w->n++] = frame_special(FRAME_TRUNCATED);
}

/* Small pages behind a stack pointer may end; the window is what could be read. */
static struct peek_window *window_fill(struct walk *w, uint64_t address) {
    struct peek_window *v = &w->windows[0];
    for (unsigned i = 1; i < PEEK_WINDOWS; i++)
        if (w->windows[i].used < v->used)
            v = &w->windows[i];
    v->at = address & ~(uint64_t)63;
    ssize_t n = sys_peek((void *)v->at, v->bytes, sizeof v->bytes);
    v->n = n > 0 ? (uint32_t)n : 0;
    return v;
}

/* An address near the end of all is far from every window, too. */
static bool window_holds(const struct peek_window *v, uint64_t address) {
    return v->n >= 8 && address - v->at <= v->n - 8;
}

bool walk_load_window(struct walk *w, uint64_t address, uint64_t *ret_word) {
    struct peek_window *v = NULL;
    for (unsigned i = 0; i < PEEK_WINDOWS && !v; i++)
        if (window_holds(&w->windows[i], address))
            v = &w->windows[i];
    if (!v) {
        v = window_fill(w, address);
        if (!window_holds(v, address))
            return false;
    }
    v->used = ++w->clock;
    memcpy(ret_word, v->bytes + (address - v->at), sizeof *ret_word);
    return true;
}

bool walk_is_code(uint64_t pc) {
    struct registered_place p;
    return module_range_find(pc) || registered_find(pc, &p) ||
           (modules_refresh_now_and_then() && module_range_find(pc));
}

uint64_t unwind_pc(const ucontext_t *context) { return sys_context_pc(context); }

/* Frame records {caller's record, return address} grow upwards; the root's record is zero by the
 * ABI. */
static void fp_walk(struct walk *w) {
    uint64_t frame = sys_context_frame(w->context), next, ra;
    walk_add(w, unwind_pc(w->context));
    while (frame) {
        w->end = WALK_UNREADABLE;
        if (frame % 8 || !walk_load(w, frame, &next) || !walk_load(w, frame + 8, &ra))
            return;
        if (ra == 0)
            break;
        w->end = WALK_NOT_CODE;
        if (!walk_is_code(ra - 1))
            return;
        walk_add(w, ra - 1);
        w->end = WALK_ENDLESS;
        if (next && next <= frame)
            return;
        frame = next;
    }
    w->end = WALK_ROOT;
}

const struct unwinder unwind_fp = {.name = "frame pointers", .any_thread = true, .walk = fp_walk};
