#pragma once
/*
 * ANYWHERE, unless said. Who owns which signal number. The agent needs one realtime signal for
 * samples and, while the host does not want it, one for dumps; with CPROF_EXIT=term also SIGTERM,
 * SIGINT and SIGHUP while they would end the process. For these numbers the kernel holds our
 * handler and the host is told what it expects to hear; every other number is the host's alone and
 * only written down here.
 *
 * Locks: signals.lock, taken with all signals blocked, because a host may call sigaction in its own
 * signal handlers.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/sys.h"

enum { SIGNALS = 65 };

enum signal_role { ROLE_NONE, ROLE_SAMPLE, ROLE_DUMP, ROLE_TERM, ROLE_FORWARD };

struct signals {
    atomic_uint lock;
    atomic_int sampling; /* number in use for samples, 0: none */
    int dump;            /* number that dumps, 0: none */
    bool insist;         /* the user named the dump signal: keep it and forward */
    bool dump_given_up;  /* the host installed its own handler */
    bool said_taken;     /* and that was said */
    _Atomic(unsigned char) role[SIGNALS];
    bool started;
    struct sys_sigaction host[SIGNALS]; /* what the host believes is installed */
};

/* Takes the dump signal (SIGNAL_AUTO: SIGUSR2 if nobody has it) and, if term, the ending ones.
 * CALM. */
void signals_start(int dump, bool term);
/* Takes a free realtime signal for samples: its number, or 0 if all are in use. */
int signals_take_sampling(void);
/* The host wants our sampling number: takes another one; if none is free, stays and forwards. */
void signals_move_sampling(void);

/* In a fork child: nobody else holds the lock. */
void signals_reset(void);

/*
 * For the doors. The host asks (act NULL) or changes what a number does.
 *   SIGNALS_NOT_OURS: let libc do it, then tell signals_note().
 *   SIGNALS_KEPT: done; *ret_old is what the host had before.
 *   SIGNALS_GIVEN: as KEPT, but the number is the host's from now on: let libc install act.
 */
enum signals_verdict { SIGNALS_NOT_OURS, SIGNALS_KEPT, SIGNALS_GIVEN };
enum signals_verdict signals_host_action(int sig, const struct sys_sigaction *act,
                                         struct sys_sigaction *ret_old);
void signals_note(int sig, const struct sys_sigaction *act);
/* True if the number must not be seen by a host that names whole sets. */
static inline bool signals_is_sampling(const struct signals *s, int sig) {
    return sig && sig == atomic_load_explicit(&s->sampling, memory_order_relaxed);
}
/* A set that names most realtime signals means "everything", not our number in particular. */
bool signals_is_blanket(uint64_t set);
