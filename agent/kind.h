#pragma once
/*
 * A kind of profile, as the agent runs it. A new one is a file kind_x.c and a row in
 * common/kinds.h. All functions are CALM unless said; a kind that was not started is never called.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/kinds.h"

struct freeze;
struct thread;

/* What start returns when this process has nothing for the kind to see: it said so itself. */
enum { KIND_STANDS_DOWN = 1 };

struct kind {
    /* Begins to collect; the rate is in the unit of the kind's row. 0, -errno or KIND_STANDS_DOWN.
     */
    int (*start)(uint64_t rate);
    /* Ends it for good; what was collected stays. */
    void (*stop)(void);
    /* Gives every row of the present window to freeze_row(). May run in a signal handler. */
    void (*snapshot)(struct freeze *f);
    /* In a fork child, after the tables were emptied: begins anew. */
    void (*reset)(void);
    /* A thread of the host was born or is about to end; runs in that thread. NULL: no matter. */
    void (*thread_begin)(struct thread *t);
    void (*thread_end)(struct thread *t);
    /* Something was collected since the last file, apart from remainders. */
    bool (*has_samples)(void);
};

/* NULL for kinds that are not built. */
extern const struct kind *const kinds[KIND_COUNT];
/* For every kind that was started. */
void kinds_thread_begin(struct thread *t);
void kinds_thread_end(struct thread *t);

/* The sampling signal: false if it was not ours. HOT, in the handler. */
bool kind_cpu_sample(siginfo_t *si, void *context);
/* Every timer must use another signal from now on. */
void kind_cpu_signal_changed(int signal);
