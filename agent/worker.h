#pragma once
/*
 * CALM. The agent's thread: writes profiles on request and at intervals, adopts threads made behind
 * our back. It exists only while it must: from the host's first thread on, or from load when an
 * option needs it. A second thread costs a single-threaded host its fast locks (6.4 -> 17 ns a
 * pair) and unshare(CLONE_NEWUSER).
 *
 * It blocks every signal, shows as "cprof" in ps, appears in no profile, and ends when the last
 * thread of the host has ended, so that the process ends as it would have.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct worker {
    atomic_uint running;
    atomic_uint stop;
    atomic_uint joinable; /* it was made, and nobody has begun to wait for its end */
    uint32_t word; /* futex: changes with every reason to wake */
    pid_t tid;
    pthread_t thread;
};

/* Starts it unless it runs. CALM. */
void worker_start(void);
bool worker_running(void);
/* ANYWHERE. */
void worker_wake(void);
/* Ends it and waits for that, together with others who do the same. CALM. */
void worker_stop(void);
