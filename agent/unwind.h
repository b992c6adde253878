#pragma once
/*
 * ANYWHERE. Walks the stack of the interrupted thread. Three engines behind one door: our own, by
 * the unwind tables of the code (the default); libunwind, fed through our own accessors so that it
 * never asks the loader, to compare with; and plain frame pointers. An engine runs on a stack of
 * the agent (several KB), never on the host's.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#include "agent/module.h"
#include "common/options.h"

enum walk_end {
    WALK_ROOT,       /* the thread's outermost frame was reached */
    WALK_CUT,        /* the engine does not say why */
    WALK_NOT_CODE,   /* a return address that is none */
    WALK_UNREADABLE, /* stack memory that is not there */
    WALK_NO_RULE,    /* neither unwind tables nor a frame record */
    WALK_ENDLESS,    /* too many steps, or in a circle */
};

/* Memory of the host read through a window: one system call per window, no fault, ever. */
struct peek_window {
    uint64_t at;
    uint32_t n;
    uint32_t used; /* clock of last use */
    _Alignas(8) unsigned char bytes[1024];
};

enum { PEEK_WINDOWS = 4 };

struct walk {
    const ucontext_t *context; /* NULL: the thread is blocked, and pc and sp are all there is */
    uint64_t pc, sp;
    bool plain_only; /* the thread's TLS is not to be trusted: no engine that uses libc */
    uint64_t plain_lo, plain_n; /* stack that may be loaded from without care; 0: none */
    uint64_t *pcs;              /* out: leaf first, callers as return address - 1 */
    uint64_t door_lo, door_n;   /* our own code, when the walk begins in it; else none */
    unsigned cap;               /* of pcs, at least 4 */
    unsigned n;
    enum walk_end end;
    unsigned guessed;    /* frames found by searching the stack (unwind_remote) */
    unsigned seen;       /* frames met so far; those that pcs has no room for are in its middle */
    uint32_t generation; /* of the rules that hold */
    const struct module *tables; /* whose unwind tables may be read in place, or NULL */
    uint32_t clock;
    struct peek_window windows[PEEK_WINDOWS];
};

/* A walk that has not begun. The bytes of its windows need no zeros: 100 ns. */
static inline void walk_init(struct walk *w, const ucontext_t *context, uint64_t *pcs,
                             unsigned cap) {
    __builtin_memset(w, 0, offsetof(struct walk, windows));
    for (unsigned i = 0; i < PEEK_WINDOWS; i++)
        w->windows[i].at = w->windows[i].n = w->windows[i].used = 0;
    w->context = context;
    w->pcs = pcs;
    w->cap = cap;
}

struct unwinder {
    const char *name;
    int (*load)(void);            /* CALM: 0 or -errno */
    bool any_thread;              /* needs no libc, hence no TLS */
    void (*walk)(struct walk *w); /* calls walk_add() for each frame and sets w->end */
    void (*reset)(void);          /* in a fork child, and when mapped code changed */
};

extern const struct unwinder unwind_cfi, unwind_libunwind, unwind_fp;

/* Chooses and loads the engine: what was asked for, or the best that passes its test. The modules
 * are known. CALM. */
void unwind_load(enum stack_engine asked);
/* The engine in use, for comments. */
const char *unwind_name(void);
/* Fills w->pcs, w->n and w->end. After walk_init(), perhaps with plain_* and plain_only. */
void unwind_walk(struct walk *w);
/* The same for another thread of this process, blocked in the kernel, from the two registers that
 * /proc/self/task/TID/syscall shows of it. After walk_init() without a context. Reads memory
 * through windows only, so a thread that goes on meanwhile costs a wrong stack and no more: the
 * caller looks again afterwards whether it still sleeps in the same place and its CPU clock stands.
 * w->guessed says for how many frames the stack had to be searched. CALM. */
void unwind_remote(struct walk *w, uint64_t pc, uint64_t sp);
/* Forgets what was learned about code that may be gone. */
void unwind_reset(void);

/* The interrupted instruction. */
uint64_t unwind_pc(const ucontext_t *context);

/* For engines. */
void walk_remote(struct walk *w);
bool walk_load_window(struct walk *w, uint64_t address, uint64_t *ret_word);
static inline bool walk_load(struct walk *w, uint64_t address, uint64_t *ret_word) {
    if (__builtin_expect(address - w->plain_lo >= w->plain_n, 0))
        return walk_load_window(w, address, ret_word);
    __builtin_memcpy(ret_word, (const void *)(uintptr_t)address, sizeof *ret_word);
    return true;
}

/* Of a deep stack the leaf three quarters and the root quarter are kept, and two places for what is
 * missing. */
static inline unsigned walk_leaf_part(const struct walk *w) { return (w->cap - 2) * 3 / 4; }
static inline unsigned walk_root_part(const struct walk *w) {
    return w->cap - 2 - walk_leaf_part(w);
}
/* Records one frame. */
static inline void walk_add(struct walk *w, uint64_t pc) {
    unsigned i = w->seen++, leaf = walk_leaf_part(w);
    w->pcs[i < leaf ? i : leaf + (i - leaf) % walk_root_part(w)] = pc;
}
/* After the last frame: puts pcs in order and says what is missing. */
void walk_finish(struct walk *w);
/* True if the address lies in executable memory, after looking for new mappings if need be. */
bool walk_is_code(uint64_t pc);
