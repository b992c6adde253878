#pragma once
/*
 * CALM, unless said. The agent as a whole: its one piece of shared state, and what happens to it
 * between load and exit.
 *
 * Order of life: agent_start() and agent_work() in our constructor; agent_thread_* at each thread's
 * birth and death; agent_fork_* around fork; agent_exit() once, in the destructor or in front of
 * _exit. All of these are CALM unless they say otherwise.
 */
#include <stdatomic.h>
#include <stdbool.h>

#include "agent/drop.h"
#include "agent/module.h"
#include "agent/provider.h"
#include "agent/signal.h"
#include "agent/stack.h"
#include "agent/thread.h"
#include "agent/worker.h"
#include "common/arena.h"
#include "common/options.h"

enum agent_state { AGENT_OFF, AGENT_ON, AGENT_DONE };

struct agent {
    _Atomic(enum agent_state) state;
    pid_t pid;         /* the process these tables describe */
    uint64_t start_ns; /* UTC */
    uint64_t start_mono_ns;
    char exe_path[512]; /* /proc/self/exe */
    char exe_name[64];  /* base name of what was started */
    char folder[512];   /* the working folder at load; empty when it had no name */
    struct options options;
    struct provider provider; /* of malloc */
    char asked[512];    /* the options that were set, as typed; hosts overwrite their environment
                           (setproctitle) */
    struct arena arena; /* every table below; empty in a fresh fork child */
    struct stacks stacks;
    struct threads threads;
    struct modules modules;
    struct signals signals;
    struct worker worker;
    atomic_uint_fast64_t walks, walks_complete; /* complete: reached the thread's root */
    atomic_uint_fast64_t dropped[DROP_COUNT];
};

extern struct agent agent;

static inline bool agent_on(void) {
    return atomic_load_explicit(&agent.state, memory_order_acquire) == AGENT_ON;
}

/* Counts something lost; ANYWHERE. */
static inline void agent_drop(enum drop why) {
    atomic_fetch_add_explicit(&agent.dropped[why], 1, memory_order_relaxed);
}

/* Reads the options and starts what they ask for. envp is the environment at load. */
void agent_start(char *const *envp);
/* And the thread of the agent's own, if they ask for one: apart, because before it some things are
 * done for which there must be no second thread. */
void agent_work(void);
/* Writes the profiles due at exit; later calls and calls in a vfork child do nothing. */
void agent_exit(void);
/* Writes what would be due at exit, and goes on: the process is about to end behind our back
 * (daemon()). */
void agent_write_now(void);
/* Writes what would be due at exit and ends all sampling: from now on a system call of ours may
 * kill. */
void agent_stand_down(const char *why);
/* True in a child that shares our memory but is another process (vfork, posix_spawn). ANYWHERE. */
bool agent_is_foreign(void);

void agent_fork_prepare(void);
void agent_fork_parent(void);
void agent_fork_child(void);
/* A child made behind fork's back (_Fork): as agent_fork_child, without prepare. */
void agent_fork_child_raw(void);
