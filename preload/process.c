/*
 * CALM. Doors of a process's beginnings and ends. fork itself needs none: pthread_atfork covers
 * every fork of libc (fork, forkpty, daemon) and costs the host nothing. vfork and clone are never
 * touched: a wrapped vfork returns twice through a dead frame.
 */
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/self.h"
#include "common/sys.h"
#include "preload/process.h"
#include "preload/real.h"

/* Skips the atfork handlers by definition. */
pid_t _Fork(void) {
    pid_t pid = real._Fork();
    if (pid == 0)
        agent_fork_child_raw();
    return pid;
}

/* The parent ends inside libc's daemon(), behind our back: its profile is written while there still
 * is one. */
int daemon(int nochdir, int noclose) {
    agent_write_now();
    return real.daemon(nochdir, noclose);
}

__attribute__((noreturn)) void _exit(int status) {
    agent_exit();
    real._exit(status);
    __builtin_unreachable();
}

__attribute__((noreturn)) void _Exit(int status) {
    agent_exit();
    real._Exit(status);
    __builtin_unreachable();
}

__attribute__((noreturn)) void quick_exit(int status) {
    agent_exit();
    real.quick_exit(status);
    __builtin_unreachable();
}

/*
 * The kernel refuses these to a process with more than one thread. A host down to its last thread
 * has only ours beside it: that one steps aside for the call.
 */
static bool step_aside(void) {
    bool alone = worker_running() && !self.busy && atomic_load(&agent.threads.live) == 1;
    if (alone)
        worker_stop();
    return alone;
}

int unshare(int flags) {
    bool back = step_aside();
    int r = real.unshare(flags);
    if (back)
        worker_start();
    return r;
}

/*
 * A sandbox kills for system calls it does not know, and a sampler makes some. Before a filter goes
 * up the profile is written and sampling ends, for the whole process: its threads inherit the
 * filter. Both ways in pass here, prctl and syscall(SYS_seccomp) (syscall-x86_64.c).
 */
void process_before_seccomp(void) {
    if (!self.busy)
        agent_stand_down("the program enters a seccomp sandbox; sampling ends here");
}

int prctl(int option, ...) {
    va_list va;
    va_start(va, option);
    unsigned long a = va_arg(va, unsigned long), b = va_arg(va, unsigned long),
                  c = va_arg(va, unsigned long), d = va_arg(va, unsigned long);
    va_end(va);
    if (option == PR_SET_SECCOMP)
        process_before_seccomp();
    return real.prctl(option, a, b, c, d);
}

int setns(int fd, int type) {
    bool back = step_aside();
    int r = real.setns(fd, type);
    if (back)
        worker_start();
    return r;
}
