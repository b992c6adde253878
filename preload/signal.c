/*
 * ANYWHERE. Doors of the signal family, only as far as a host could notice us or we could lose our
 * signal. Numbers that are not ours go straight on and are merely written down (agent/signal.h says
 * what for).
 *
 * Sets: the host's idea of "everything" must not hold our sampling signal, or threads that block
 * all signals would vanish from the profile and sigwait would return a number nobody sent. A host
 * that names our number in particular wants it, and we move to another.
 */
#include <errno.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/self.h"
#include "preload/real.h"

static struct sys_sigaction to_kernel(const struct sigaction *a) {
    struct sys_sigaction k = {
        .handler = a->sa_handler,
        .flags = (unsigned long)(unsigned)a->sa_flags,
        .restorer = a->sa_restorer,
    };
    memcpy(&k.mask, &a->sa_mask, sizeof k.mask);
    return k;
}

static void from_kernel(const struct sys_sigaction *k, struct sigaction *a) {
    memset(a, 0, sizeof *a);
    a->sa_handler = k->handler;
    a->sa_flags = (int)(k->flags & ~0x04000000ul); /* SA_RESTORER is libc's business */
    a->sa_restorer = k->restorer;
    memcpy(&a->sa_mask, &k->mask, sizeof k->mask);
}

int sigaction(int sig, const struct sigaction *act, struct sigaction *old) {
    struct sys_sigaction wanted = {0}, before;
    if (act)
        wanted = to_kernel(act);
    enum signals_verdict v =
        self.busy ? SIGNALS_NOT_OURS : signals_host_action(sig, act ? &wanted : NULL, &before);
    if (v == SIGNALS_NOT_OURS) {
        int r = real.sigaction(sig, act, old);
        if (r == 0 && act && !self.busy)
            signals_note(sig, &wanted);
        return r;
    }
    int r = v == SIGNALS_GIVEN ? real.sigaction(sig, act, NULL) : 0;
    if (r == 0 && old)
        from_kernel(&before, old);
    return r;
}

/* Bits of the signals that siginterrupt() made interrupt system calls; signal() keeps to it. */
static struct { atomic_uint_fast64_t interrupt; } wishes;

static int restart(int sig) {
    bool known = sig > 0 && sig < SIGNALS;
    return known && atomic_load(&wishes.interrupt) & sys_sigbit(sig) ? 0 : SA_RESTART;
}

/* signal(3) in its dialects is sigaction with these flags; glibc's own would go behind our back. */
static sighandler_t set_handler(int sig, sighandler_t handler, int flags, bool masked) {
    struct sigaction act = {.sa_handler = handler, .sa_flags = flags}, old;
    sigemptyset(&act.sa_mask);
    if (handler == SIG_ERR) {
        errno = EINVAL;
        return SIG_ERR;
    }
    if (masked && sigaddset(&act.sa_mask, sig) != 0)
        return SIG_ERR;
    return sigaction(sig, &act, &old) == 0 ? old.sa_handler : SIG_ERR;
}

sighandler_t signal(int sig, sighandler_t handler) {
    return set_handler(sig, handler, restart(sig), true);
}

sighandler_t bsd_signal(int sig, sighandler_t handler) {
    return set_handler(sig, handler, restart(sig), true);
}

sighandler_t ssignal(int sig, sighandler_t handler) {
    return set_handler(sig, handler, restart(sig), true);
}

sighandler_t __sysv_signal(int sig, sighandler_t handler) {
    return set_handler(sig, handler, (int)(SA_RESETHAND | SA_NODEFER), false);
}

sighandler_t sysv_signal(int sig, sighandler_t handler) { return __sysv_signal(sig, handler); }

/* POSIX sigset: SIG_HOLD only blocks; anything else installs and unblocks. */
sighandler_t sigset(int sig, sighandler_t handler) {
    sigset_t set, before;
    sigemptyset(&set);
    if (sigaddset(&set, sig) != 0)
        return SIG_ERR;
    struct sigaction old;
    if (handler == SIG_HOLD) {
        if (sigprocmask(SIG_BLOCK, &set, &before) != 0 || sigaction(sig, NULL, &old) != 0)
            return SIG_ERR;
        return sigismember(&before, sig) ? SIG_HOLD : old.sa_handler;
    }
    sighandler_t was = set_handler(sig, handler, 0, false);
    if (was == SIG_ERR || sigprocmask(SIG_UNBLOCK, &set, &before) != 0)
        return SIG_ERR;
    return sigismember(&before, sig) ? SIG_HOLD : was;
}

int sigignore(int sig) { return set_handler(sig, SIG_IGN, 0, false) == SIG_ERR ? -1 : 0; }

/* glibc's own would change the action behind our back. */
int siginterrupt(int sig, int interrupt) {
    struct sigaction act;
    if (sigaction(sig, NULL, &act) != 0)
        return -1;
    if (interrupt) {
        atomic_fetch_or(&wishes.interrupt, sys_sigbit(sig));
        act.sa_flags &= ~SA_RESTART;
    } else {
        atomic_fetch_and(&wishes.interrupt, ~sys_sigbit(sig));
        act.sa_flags |= SA_RESTART;
    }
    return sigaction(sig, &act, NULL);
}

/* The set without our number, in *copy; the set itself when there is nothing to hide. A set that
 * names our number in particular makes us move first, unless the host merely gives back the mask
 * that we told it. */
static const sigset_t *hide(const sigset_t *set, sigset_t *copy) {
    int sig = atomic_load_explicit(&agent.signals.sampling, memory_order_relaxed);
    uint64_t bits;
    if (!set || !sig || self.busy || !agent_on())
        return set;
    memcpy(&bits, set, sizeof bits);
    if (!(bits & sys_sigbit(sig)))
        return set;
    if (!signals_is_blanket(bits) && !self.blocks_sampling) {
        signals_move_sampling();
        return set;
    }
    *copy = *set;
    bits &= ~sys_sigbit(sig);
    memcpy(copy, &bits, sizeof bits);
    return copy;
}

/* What the host believes about our number in its mask is kept per thread and given back to it. */
static int mask_door(int (*behind)(int, const sigset_t *, sigset_t *), int how, const sigset_t *set,
                     sigset_t *old) {
    sigset_t copy;
    const sigset_t *shown = hide(set, &copy);
    bool blocked = self.blocks_sampling;
    int r = behind(how, shown, old);
    int sig = atomic_load_explicit(&agent.signals.sampling, memory_order_relaxed);
    if (r != 0 || !sig || self.busy)
        return r;
    if (set && how == SIG_SETMASK)
        self.blocks_sampling = shown == &copy;
    else if (shown == &copy)
        self.blocks_sampling = how == SIG_BLOCK;
    if (old && blocked)
        sigaddset(old, sig);
    return r;
}

int sigprocmask(int how, const sigset_t *set, sigset_t *old) {
    return mask_door(real.sigprocmask, how, set, old);
}

int pthread_sigmask(int how, const sigset_t *set, sigset_t *old) {
    return mask_door(real.pthread_sigmask, how, set, old);
}

int sigwait(const sigset_t *set, int *ret_sig) {
    sigset_t copy;
    return real.sigwait(hide(set, &copy), ret_sig);
}

int sigwaitinfo(const sigset_t *set, siginfo_t *ret_info) {
    sigset_t copy;
    return real.sigwaitinfo(hide(set, &copy), ret_info);
}

int sigtimedwait(const sigset_t *set, siginfo_t *ret_info, const struct timespec *timeout) {
    sigset_t copy;
    return real.sigtimedwait(hide(set, &copy), ret_info, timeout);
}

int signalfd(int fd, const sigset_t *set, int flags) {
    sigset_t copy;
    return real.signalfd(fd, hide(set, &copy), flags);
}
