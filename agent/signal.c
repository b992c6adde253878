/*
 * ANYWHERE from signals_host_action down: the host may change actions in its handlers.
 *
 * Why handlers of ours block every signal: an agent stack is not the alternate stack, so the kernel
 * would take a host signal that nests in our handler to the top of the alternate stack, over the
 * very frame we came from. Blocked, it waits some microseconds.
 */
#include "agent/signal.h"

#include <errno.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/dump.h"
#include "agent/kind.h"
#include "common/sys.h"

enum { BLANKET_ACTIONS = 20, BLANKET_LIKELY = 7, BLANKET_RT = 16, FIRST_RT = 34 };

static const uint64_t all_signals = ~(uint64_t)0;

static uint64_t lock(struct signals *s) {
    uint64_t mask = 0;
    sys_sigmask(SIG_SETMASK, &all_signals, &mask);
    while (atomic_exchange_explicit(&s->lock, 1, memory_order_acquire))
        sys_yield();
    return mask;
}

static void unlock(struct signals *s, uint64_t mask) {
    atomic_store_explicit(&s->lock, 0, memory_order_release);
    sys_sigmask(SIG_SETMASK, &mask, NULL);
}

static bool is_default(const struct sys_sigaction *a) { return a->handler == SIG_DFL; }

/* What the host would see happen: its handler, or the default action. */
static void forward(int sig, siginfo_t *si, void *context) {
    const struct sys_sigaction *h = &agent.signals.host[sig];
    if (h->handler == SIG_IGN)
        return;
    if (!is_default(h)) {
        if (h->flags & SA_SIGINFO)
            ((void (*)(int, siginfo_t *, void *))(void *)h->handler)(sig, si, context);
        else
            h->handler(sig);
        return;
    }
    struct sys_sigaction dfl = {.handler = SIG_DFL};
    sys_sigaction(sig, &dfl, NULL);
    sys_call_3(SYS_tgkill, sys_getpid(), sys_gettid(), sig);
}

static bool from_outside(const siginfo_t *si) {
    return si->si_code == SI_USER || si->si_code == SI_QUEUE;
}

/* Not asked of the kernel when we stood down: a sandbox may kill for it. */
static bool is_child(void) { return agent_on() && agent_is_foreign(); }

static void on_signal(int sig, siginfo_t *si, void *context) {
    struct signals *s = &agent.signals;
    switch (atomic_load_explicit(&s->role[sig], memory_order_relaxed)) {
    case ROLE_SAMPLE:
        if (kind_cpu_sample(si, context))
            return;
        break;
    case ROLE_DUMP:
        if (!from_outside(si) || is_child())
            break;
        if (agent_on())
            dump_request(DUMP_SIGNAL);
        if (is_default(&s->host[sig]))
            return; /* also while the process ends: a late request must not become its exit status
                     */
        break;
    case ROLE_TERM:
        if (is_default(&s->host[sig]) && agent_on() && !agent_is_foreign())
            dump_last();
        break;
    default: break;
    }
    forward(sig, si, context);
}

/* Our handler in front of what the host believes is there: its mask and its wish to be restarted
 * hold. */
static void install(int sig, enum signal_role role) {
    struct signals *s = &agent.signals;
    struct sys_sigaction *host = &s->host[sig];
    struct sys_sigaction ours = {
        .handler = (void (*)(int))(void *)on_signal,
        .flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART,
        .mask = all_signals,
    };
    bool handled = !is_default(host) && host->handler != SIG_IGN;
    if (handled && role != ROLE_SAMPLE) {
        ours.flags = (host->flags & ~(unsigned long)SA_RESETHAND) | SA_SIGINFO | SA_ONSTACK;
        ours.mask = host->mask;
    }
    atomic_store(&s->role[sig], role);
    sys_sigaction(sig, &ours, NULL);
}

/* Once: a program may give and take its handler at each prompt. */
static void say_dump_signal_taken(struct signals *s) {
    struct log_line l;
    if (s->said_taken)
        return;
    s->said_taken = true;
    log_begin(&l, LOG_WARN, "CPROF_SIGNAL");
    text_str(&l.text, "the program handles signal ");
    text_u64(&l.text, (uint64_t)s->dump);
    text_str(&l.text, " itself and keeps it; name another one, like CPROF_SIGNAL=");
    text_str(&l.text, s->dump == SIGUSR1 ? "USR2" : "RTMAX");
    text_str(&l.text, ", or read the profiles written at exit");
    log_end(&l);
}

void signals_start(int dump, bool term) {
    struct signals *s = &agent.signals;
    for (int sig = 1; sig < SIGNALS; sig++)
        sys_sigaction(sig, NULL, &s->host[sig]);
    s->started = true;
    s->insist = dump > 0;
    s->dump = dump == SIGNAL_AUTO ? SIGUSR2 : dump;
    if (s->dump && (s->insist || is_default(&s->host[s->dump])))
        install(s->dump, ROLE_DUMP);
    else
        s->dump = 0;
    static const int ending[] = {SIGTERM, SIGINT, SIGHUP};
    for (unsigned i = 0; term && i < sizeof ending / sizeof *ending; i++)
        if (is_default(&s->host[ending[i]]) && ending[i] != s->dump)
            install(ending[i], ROLE_TERM);
}

int signals_take_sampling(void) {
    struct signals *s = &agent.signals;
    for (int sig = __libc_current_sigrtmin(); sig < SIGNALS; sig++) {
        struct sys_sigaction now;
        if (atomic_load(&s->role[sig]) != ROLE_NONE || sys_sigaction(sig, NULL, &now) != 0 ||
            !is_default(&now) || !is_default(&s->host[sig]))
            continue;
        install(sig, ROLE_SAMPLE);
        uint64_t bit = sys_sigbit(sig);
        sys_sigmask(SIG_UNBLOCK, &bit, NULL);
        atomic_store(&s->sampling, sig);
        return sig;
    }
    return 0;
}

/* The old number keeps our handler in front: a sample already on its way must not reach the host.
 */
void signals_move_sampling(void) {
    int fresh = signals_take_sampling();
    if (fresh)
        kind_cpu_signal_changed(fresh);
}

static int same_handlers(const struct signals *s, int sig) {
    int n = 0;
    for (int other = 1; other < SIGNALS; other++)
        n += s->host[other].handler == s->host[sig].handler;
    return n;
}

/* The dump signal is ours only while the host does not want it. A runtime that puts one handler on
 * twenty signals (Go) does not want this one in particular. */
static enum signals_verdict change_dump(struct signals *s) {
    int sig = s->dump, same = same_handlers(s, sig);
    s->dump_given_up = !is_default(&s->host[sig]) && !s->insist && same < BLANKET_ACTIONS;
    if (!s->dump_given_up) {
        install(sig, ROLE_DUMP);
        return SIGNALS_KEPT;
    }
    if (same < BLANKET_LIKELY)
        say_dump_signal_taken(s);
    atomic_store(&s->role[sig], ROLE_NONE);
    return SIGNALS_GIVEN;
}

static enum signals_verdict change(struct signals *s, int sig) {
    if (sig == s->dump)
        return change_dump(s);
    enum signal_role role = atomic_load(&s->role[sig]);
    if (role == ROLE_TERM && !is_default(&s->host[sig])) {
        atomic_store(&s->role[sig], ROLE_NONE);
        return SIGNALS_GIVEN;
    }
    install(sig, role);
    return SIGNALS_KEPT;
}

/* A child that shares our memory (vfork, clone) has actions of its own: what it changes must not be
 * written down as its parent's. It hears what its parent would until it has changed it. */
static enum signals_verdict child_action(int sig, const struct sys_sigaction *act,
                                         struct sys_sigaction *ret_old) {
    struct sys_sigaction now = {0};
    sys_sigaction(sig, NULL, &now);
    if (now.handler != (void (*)(int))(void *)on_signal)
        return SIGNALS_NOT_OURS;
    *ret_old = agent.signals.host[sig];
    return act ? SIGNALS_GIVEN : SIGNALS_KEPT;
}

enum signals_verdict signals_host_action(int sig, const struct sys_sigaction *act,
                                         struct sys_sigaction *ret_old) {
    struct signals *s = &agent.signals;
    if (!s->started || sig < 1 || sig >= SIGNALS ||
        (atomic_load(&s->role[sig]) == ROLE_NONE && (sig != s->dump || !act || is_default(act))))
        return SIGNALS_NOT_OURS;
    if (is_child())
        return child_action(sig, act, ret_old);
    if (act && !is_default(act) && signals_is_sampling(s, sig))
        signals_move_sampling();
    uint64_t mask = lock(s);
    enum signals_verdict verdict = SIGNALS_KEPT;
    *ret_old = s->host[sig];
    if (act) {
        s->host[sig] = *act;
        verdict = change(s, sig);
    }
    unlock(s, mask);
    return verdict;
}

/* No lock for the common case: it would cost every sigaction of the host two system calls. */
void signals_note(int sig, const struct sys_sigaction *act) {
    struct signals *s = &agent.signals;
    if (!s->started || sig < 1 || sig >= SIGNALS || is_child())
        return;
    s->host[sig] = *act;
    if (!s->dump_given_up || act->handler != s->host[s->dump].handler)
        return;
    uint64_t mask = lock(s);
    if (same_handlers(s, sig) >= BLANKET_ACTIONS)
        change_dump(s);
    unlock(s, mask);
}

void signals_reset(void) { atomic_store(&agent.signals.lock, 0); }

bool signals_is_blanket(uint64_t set) {
    return __builtin_popcountll(set >> (FIRST_RT - 1)) >= BLANKET_RT;
}
