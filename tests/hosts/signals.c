/* Hosts that use signals in earnest. None may see a signal, an EINTR, a mask or an action it did
 * not make. */
#include "host.h"

#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>

BURNER(work)
BURNER(burn_before)
BURNER(burn_after)

static volatile sig_atomic_t hits[65];
static void on_signal(int sig) { hits[sig]++; }
static void on_siginfo(int sig, siginfo_t *info, void *context) {
    hits[sig] += info->si_signo == sig;
}

static bool can_catch(int sig) {
    return sig != SIGKILL && sig != SIGSTOP && sig != 32 && sig != 33;
}

static volatile bool stop;
static volatile int64_t burner_ns;
static void *burner(void *unused) {
    while (!stop) {
        work(5);
        burner_ns = thread_ns();
    }
    work(SEEN_MS);
    return NULL;
}

/* A busy machine may have left it little so far. */
static void stop_burner(pthread_t t) {
    for (int64_t end = now_ns() + PATIENCE_NS; now_ns() < end && burner_ns < 300000000;)
        sleep_ms(1);
    stop = true;
    pthread_join(t, NULL);
}

/* Sends a signal in every way there is: by raise, kill, tgkill and sigqueue. */
static void send_four(int sig) {
    raise(sig);
    kill(getpid(), sig);
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), sig);
    sigqueue(getpid(), sig, (union sigval){.sival_int = 7});
}

/* own before|after: handlers for what profilers like to take; every delivery arrives, and only
 * those. */
static void own(int argc, char **argv) {
    static const int sigs[] = {SIGUSR1, SIGUSR2, SIGPROF, SIGVTALRM, 34, 35, 36, 64};
    if (strcmp(argv[0], "after") == 0)
        burn_before(150);
    for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++) {
        struct sigaction act = {.sa_flags = SA_NODEFER}, got;
        act.sa_handler = on_signal;
        sigaddset(&act.sa_mask, SIGHUP);
        CHECK(sigaction(sigs[i], &act, &got) == 0 && got.sa_handler == SIG_DFL &&
              got.sa_flags == 0);
        CHECK(sigaction(sigs[i], NULL, &got) == 0 && got.sa_handler == on_signal);
        CHECK((got.sa_flags & ~0x04000000) == SA_NODEFER);
        CHECK(sigismember(&got.sa_mask, SIGHUP) == 1 && sigismember(&got.sa_mask, SIGINT) == 0);
    }
    burn_after(200);
    for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++) {
        CHECK(hits[sigs[i]] == 0);
        send_four(sigs[i]);
        CHECK(hits[sigs[i]] == 4);
    }
    burn_after(200);
    for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++)
        printf("%d: %d\n", sigs[i], (int)hits[sigs[i]]);
}

/* every: one handler for every signal there is. */
static void every(int argc, char **argv) {
    for (int sig = 1; sig <= 64; sig++) {
        struct sigaction act = {.sa_flags = SA_SIGINFO | SA_RESTART};
        act.sa_sigaction = on_siginfo;
        if (can_catch(sig))
            CHECK(sigaction(sig, &act, NULL) == 0);
    }
    work(200);
    for (int sig = 1; sig <= 64; sig++)
        if (can_catch(sig)) {
            CHECK(hits[sig] == 0);
            raise(sig);
            CHECK(hits[sig] == 1);
        }
    work(100);
}

/* query: nothing is installed, blocked or pending that we did not put there. */
static void query(int argc, char **argv) {
    work(100);
    for (int sig = 1; sig <= 64; sig++) {
        struct sigaction got;
        if (sig == 32 || sig == 33)
            continue;
        CHECK(sigaction(sig, NULL, &got) == 0 && got.sa_handler == SIG_DFL);
        if (can_catch(sig) && (sig == SIGPROF || sig >= 34)) {
            CHECK(signal(sig, SIG_IGN) == SIG_DFL);
            CHECK(signal(sig, SIG_DFL) == SIG_IGN);
        }
    }
    sigset_t set;
    CHECK(sigprocmask(SIG_SETMASK, NULL, &set) == 0);
    for (int sig = 1; sig <= 64; sig++)
        CHECK(sigismember(&set, sig) != 1);
    CHECK(sigpending(&set) == 0);
    for (int sig = 1; sig <= 64; sig++)
        CHECK(sigismember(&set, sig) != 1);
    work(100);
}

/* defaults: what a careful daemon does: every signal to default, later what it was before. */
static void defaults(int argc, char **argv) {
    struct sigaction old[65], dfl = {0};
    work(50);
    for (int sig = 1; sig <= 64; sig++)
        if (can_catch(sig))
            CHECK(sigaction(sig, &dfl, &old[sig]) == 0);
    work(100);
    for (int sig = 1; sig <= 64; sig++)
        if (can_catch(sig))
            CHECK(sigaction(sig, &old[sig], NULL) == 0);
    work(100);
    for (int sig = 1; sig <= 64; sig++)
        if (can_catch(sig))
            CHECK(signal(sig, SIG_IGN) != SIG_ERR);
    work(100);
}

/* chain: keeps the old action and calls it, as a library does that is polite. */
static struct sigaction former[65];
static void polite(int sig, siginfo_t *info, void *context) {
    hits[sig]++;
    if (former[sig].sa_flags & SA_SIGINFO)
        former[sig].sa_sigaction(sig, info, context);
    else if (former[sig].sa_handler != SIG_DFL && former[sig].sa_handler != SIG_IGN)
        former[sig].sa_handler(sig);
}
static void chain(int argc, char **argv) {
    static const int sigs[] = {SIGUSR2, SIGPROF, 34, 35};
    work(50);
    for (int i = 0; i < 4; i++) {
        struct sigaction act = {.sa_flags = SA_SIGINFO};
        act.sa_sigaction = polite;
        CHECK(sigaction(sigs[i], &act, &former[sigs[i]]) == 0);
    }
    work(200);
    for (int i = 0; i < 4; i++) {
        raise(sigs[i]);
        CHECK(hits[sigs[i]] == 1);
    }
}

/* blocked: everything is blocked for a while; the mask reads as it was set, nothing is pending. */
static void blocked(int argc, char **argv) {
    sigset_t all, got, pending;
    burn_before(200);
    sigfillset(&all);
    CHECK(sigprocmask(SIG_SETMASK, &all, NULL) == 0);
    work(300);
    CHECK(sigpending(&pending) == 0);
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &got) == 0);
    for (int sig = 1; sig <= 64; sig++) {
        CHECK(!can_catch(sig) || sigismember(&got, sig) == 1);
        CHECK(sigismember(&pending, sig) != 1);
    }
    CHECK(sigprocmask(SIG_UNBLOCK, &all, NULL) == 0);
    burn_after(200);
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &got) == 0);
    for (int sig = 1; sig <= 64; sig++)
        CHECK(sigismember(&got, sig) != 1);
}

/* waits: sigtimedwait, sigwaitinfo, sigwait and signalfd with full sets see only what the host
 * sends. */
static void waits(int argc, char **argv) {
    sigset_t all;
    siginfo_t info;
    int sig;
    sigfillset(&all);
    burn_before(50);
    sigprocmask(SIG_BLOCK, &all, NULL);
    pthread_t t;
    pthread_create(&t, NULL, burner, NULL);
    work(200);
    CHECK(sigtimedwait(&all, &info, &(struct timespec){0, 200000000}) == -1 && errno == EAGAIN);
    kill(getpid(), SIGUSR1);
    CHECK(sigwaitinfo(&all, &info) == SIGUSR1);
    work(100);
    kill(getpid(), SIGHUP);
    CHECK(sigwait(&all, &sig) == 0 && sig == SIGHUP);
    int fd = signalfd(-1, &all, SFD_NONBLOCK);
    struct signalfd_siginfo got;
    CHECK(fd >= 0);
    work(200);
    CHECK(read(fd, &got, sizeof got) == -1 && errno == EAGAIN);
    kill(getpid(), SIGTERM);
    CHECK(read(fd, &got, sizeof got) == sizeof got && got.ssi_signo == SIGTERM);
    CHECK(read(fd, &got, sizeof got) == -1 && errno == EAGAIN);
    kill(getpid(), SIGUSR2);
    CHECK(sigtimedwait(&all, &info, &(struct timespec){1, 0}) == SIGUSR2);
    stop_burner(t);
}

/* A stack with a guard page below, so that a frame too large is a crash and not luck. */
static void *guarded(size_t size) {
    char *p = mmap(NULL, size + 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED && mprotect(p, 8192, PROT_NONE) == 0);
    return p + 8192;
}

static void on_alt_stack(int sig) {
    char here;
    stack_t s;
    sigaltstack(NULL, &s);
    CHECK(&here > (char *)s.ss_sp && &here < (char *)s.ss_sp + s.ss_size);
    work(300);
}

/* altstack: 8 KiB alternate stack, and a handler on it that runs for long enough to be sampled. */
static void altstack(int argc, char **argv) {
    stack_t s = {.ss_sp = guarded(8192), .ss_size = 8192}, got;
    CHECK(sigaltstack(&s, NULL) == 0);
    struct sigaction act = {.sa_flags = SA_ONSTACK};
    act.sa_handler = on_alt_stack;
    sigaction(SIGUSR1, &act, NULL);
    burn_before(100);
    raise(SIGUSR1);
    CHECK(sigaltstack(NULL, &got) == 0 && got.ss_sp == s.ss_sp && got.ss_size == s.ss_size &&
          got.ss_flags == 0);
    burn_after(100);
}

static void *small(void *unused) { return work(100), NULL; }

/* small_stacks: threads of PTHREAD_STACK_MIN, on their own and on a caller's guarded memory. */
static void small_stacks(int argc, char **argv) {
    pthread_t t[8];
    pthread_attr_t attr;
    for (int i = 0; i < 8; i++) {
        pthread_attr_init(&attr);
        if (i % 2)
            CHECK(pthread_attr_setstacksize(&attr, (size_t)PTHREAD_STACK_MIN) == 0);
        else
            CHECK(pthread_attr_setstack(&attr, guarded((size_t)PTHREAD_STACK_MIN),
                                        (size_t)PTHREAD_STACK_MIN) == 0);
        CHECK(pthread_create(&t[i], &attr, small, NULL) == 0);
    }
    for (int i = 0; i < 8; i++)
        pthread_join(t[i], NULL);
}

/* errno: stays over work, malloc and free. */
static void keep_errno(int argc, char **argv) {
    int64_t end = thread_ns() + 400000000;
    long wrong = 0;
    while (thread_ns() < end) {
        errno = 123;
        for (int i = 0; i < 100; i++)
            free(malloc(100 + i));
        spin(20000);
        wrong += errno != 123;
    }
    work(SEEN_MS);
    CHECK(wrong == 0);
}

#define MS \
    (struct timespec) { 0, 30000000 }
static struct timespec after_30ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += 30000000;
    if (t.tv_nsec >= 1000000000)
        t.tv_sec++, t.tv_nsec -= 1000000000;
    return t;
}

/* eintr: calls that a handler interrupts even with SA_RESTART; a thread and this one burn
 * meanwhile. */
static void eintr(int argc, char **argv) {
    int pair[2], epoll = epoll_create1(0), sems = semget(IPC_PRIVATE, 1, 0600);
    uint32_t word = 0;
    char byte;
    sem_t sem;
    sigset_t usr1;
    sem_init(&sem, 0, 0);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &usr1, NULL);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    struct timeval wait = {0, 30000};
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    pthread_t t;
    pthread_create(&t, NULL, burner, NULL);
    for (int round = 0; round < 15; round++) {
        struct timespec abs = after_30ms();
        struct timeval tv = {0, 30000};
        fd_set none;
        FD_ZERO(&none);
        work(3);
        CHECK(nanosleep(&MS, NULL) == 0);
        CHECK(clock_nanosleep(CLOCK_MONOTONIC, 0, &MS, NULL) == 0);
        CHECK(usleep(20000) == 0);
        CHECK(poll(NULL, 0, 20) == 0);
        CHECK(select(0, &none, NULL, NULL, &tv) == 0);
        CHECK(epoll_wait(epoll, &(struct epoll_event){0}, 1, 20) == 0);
        CHECK(sem_timedwait(&sem, &abs) == -1 && errno == ETIMEDOUT);
        CHECK(syscall(SYS_futex, &word, FUTEX_WAIT, 0, &MS, NULL, 0) == -1 && errno == ETIMEDOUT);
        CHECK(sigtimedwait(&usr1, NULL, &MS) == -1 && errno == EAGAIN);
        CHECK(recv(pair[0], &byte, 1, 0) == -1 && errno == EAGAIN);
        struct sembuf op = {0, -1, 0};
        CHECK(semtimedop(sems, &op, 1, &MS) == -1 && errno == EAGAIN);
    }
    CHECK(sleep(1) == 0);
    semctl(sems, 0, IPC_RMID);
    stop_burner(t);
}

static int drain_fd;
static void *drain(void *unused) {
    char page[4096];
    while (read(drain_fd, page, sizeof page) > 0)
        spin(3000);
    return NULL;
}

/* writes: a blocking write of 1 MiB to a pipe comes back whole. */
static void writes(int argc, char **argv) {
    static char megabyte[1 << 20];
    int ends[2];
    CHECK(pipe(ends) == 0);
    drain_fd = ends[0];
    pthread_t reader, t;
    pthread_create(&reader, NULL, drain, NULL);
    pthread_create(&t, NULL, burner, NULL);
    for (int i = 0; i < 100; i++) {
        work(1);
        CHECK(write(ends[1], megabyte, sizeof megabyte) == sizeof megabyte);
    }
    close(ends[1]);
    pthread_join(reader, NULL);
    stop_burner(t);
}

/* The host's interval timers; each is due when its own clock has gone on by 20 ms. */
static const struct host_timer {
    int which, sig;
    clockid_t clock;
} host_timers[] = {{ITIMER_PROF, SIGPROF, CLOCK_PROCESS_TICKS},
                   {ITIMER_VIRTUAL, SIGVTALRM, CLOCK_PROCESS_USER_TICKS},
                   {ITIMER_REAL, SIGALRM, CLOCK_MONOTONIC}};

static bool all_hit(int times) {
    return hits[SIGPROF] >= times && hits[SIGVTALRM] >= times && hits[SIGALRM] >= times;
}

/* timers: the host's own interval timers fire, as often as is due. */
static void timers(int argc, char **argv) {
    struct itimerval every_20ms = {{0, 20000}, {0, 20000}}, off = {{0, 0}, {0, 0}}, got;
    int64_t begin[3];
    for (int i = 0; i < 3; i++) {
        begin[i] = clock_of(host_timers[i].clock);
        signal(host_timers[i].sig, on_signal);
        CHECK(setitimer(host_timers[i].which, &every_20ms, NULL) == 0);
    }
    int64_t end = thread_ns() + 60000000000;
    do
        work(100);
    while (!all_hit(10) && thread_ns() < end);
    CHECK(getitimer(ITIMER_PROF, &got) == 0 && got.it_interval.tv_usec >= 20000);
    for (int i = 0; i < 3; i++) {
        int sig = host_timers[i].sig, n = hits[sig];
        double due = (double)(clock_of(host_timers[i].clock) - begin[i]) / 20e6;
        /* While the process waits for its turn, alarms by wall time become one; the others find it
         * running. */
        CHECK_WITHIN(n, sig == SIGALRM ? 10 : due * 0.8 - 2, due + 2);
        setitimer(host_timers[i].which, &off, NULL);
    }
}

/* stopped: SIGSTOP and SIGCONT; the time stopped is nobody's CPU time. */
static void stopped(int argc, char **argv) {
    volatile bool *go_on =
        mmap(NULL, sizeof *go_on, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork();
    if (pid == 0) {
        do
            work(100);
        while (!*go_on);
        number("usage", usage_ns());
        exit(host_failed);
    }
    int status;
    sleep_ms(100);
    kill(pid, SIGSTOP);
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    sleep_ms(1000);
    *go_on = true;
    kill(pid, SIGCONT);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static sigjmp_buf back;
static void jumps(int sig) { siglongjmp(back, 1); }

/* longjmp: out of a handler that may have interrupted malloc or a sample. */
static void longjmps(int argc, char **argv) {
    volatile int n = 0;
    signal(SIGALRM, jumps);
    struct itimerval every_3ms = {{0, 3000}, {0, 3000}}, off = {{0, 0}, {0, 0}};
    if (sigsetjmp(back, 1) == 0)
        setitimer(ITIMER_REAL, &every_3ms, NULL);
    if (++n < 80)
        for (;;)
            spin(1000);
    setitimer(ITIMER_REAL, &off, NULL);
    burn_after(400);
    free(malloc(100));
}

/* pauses: sleep sleeps in full, pause returns for the host's own signal only. */
static void pauses(int argc, char **argv) {
    pthread_t t;
    pthread_create(&t, NULL, burner, NULL);
    int64_t begin = now_ns();
    CHECK(sleep(1) == 0 && now_ns() - begin >= 1000000000);
    /* Repeating, so that an alarm which comes before the wait does no harm. */
    struct itimerval every_200ms = {{0, 200000}, {0, 200000}}, off = {{0, 0}, {0, 0}};
    sigset_t none;
    sigemptyset(&none);
    signal(SIGALRM, on_signal);
    setitimer(ITIMER_REAL, &every_200ms, NULL);
    for (int i = 0; i < 3; i++) {
        int before = hits[SIGALRM];
        CHECK(pause() == -1 && errno == EINTR && hits[SIGALRM] > before);
        before = hits[SIGALRM];
        CHECK(sigsuspend(&none) == -1 && errno == EINTR && hits[SIGALRM] > before);
    }
    setitimer(ITIMER_REAL, &off, NULL);
    stop_burner(t);
}

static NOINLINE int overflow(volatile char *above) {
    volatile char here[512];
    here[0] = above[0];
    return above[0] == 1 ? 0 : overflow(here) + here[0];
}
static void on_overflow(int sig) {
    static const char said[] = "stack overflow, said the host\n";
    if (write(1, said, sizeof said - 1) > 0)
        _exit(0);
}

/* segv: no fault of ours reaches the host's handler, its own does. */
static void segv(int argc, char **argv) {
    stack_t s = {.ss_sp = guarded(16384), .ss_size = 16384};
    sigaltstack(&s, NULL);
    struct sigaction act = {.sa_flags = SA_ONSTACK};
    act.sa_handler = on_signal;
    sigaction(SIGSEGV, &act, NULL);
    sigaction(SIGBUS, &act, NULL);
    work(200);
    CHECK(hits[SIGSEGV] == 0 && hits[SIGBUS] == 0);
    act.sa_handler = on_overflow;
    sigaction(SIGSEGV, &act, NULL);
    char first = 0;
    overflow(&first);
}

/* takes: USR2 dumps until the host installs a handler; from then on it is the host's alone. */
static void takes(int argc, char **argv) {
    work(100);
    dump_until(".", 1);
    signal(SIGUSR2, on_signal);
    work(100);
    kill(getpid(), SIGUSR2);
    sleep_ms(50);
    CHECK(hits[SIGUSR2] == 1);
    CHECK(!agent_here() || dumps_in(".") == 1);
}

/* interrupt: a system call is interrupted or restarted as siginterrupt() said, before signal() or
 * after it. */
extern int restarts_not(int sig, int interrupt) __asm__("siginterrupt"); /* deprecated by name */
static bool is_interrupting(const struct sigaction *act) { return !(act->sa_flags & SA_RESTART); }
static void interrupt(int argc, char **argv) {
    static const int numbers[] = {SIGALRM, SIGUSR1, SIGUSR2};
    struct sigaction got;
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (int on = 1; on >= 0; on--) {
            CHECK(restarts_not(numbers[i], on) == 0);
            CHECK(signal(numbers[i], on_signal) != SIG_ERR);
            CHECK(sigaction(numbers[i], NULL, &got) == 0 && is_interrupting(&got) == (on != 0));
            CHECK(restarts_not(numbers[i], !on) == 0);
            CHECK(sigaction(numbers[i], NULL, &got) == 0 && is_interrupting(&got) == !on);
        }
    errno = 0;
    CHECK(restarts_not(65, 1) == -1 && errno == EINVAL);
    CHECK(restarts_not(0, 1) == -1 && errno == EINVAL);
}

/* ignored: started with USR2 ignored; it stays so. */
static void ignored(int argc, char **argv) {
    if (argc == 0) {
        signal(SIGUSR2, SIG_IGN);
        execl("/proc/self/exe", "signals", "ignored", "again", NULL);
    }
    struct sigaction got;
    CHECK(sigaction(SIGUSR2, NULL, &got) == 0 && got.sa_handler == SIG_IGN);
    work(100);
    kill(getpid(), SIGUSR2);
    work(100);
}

/* threads_blocked: threads born with everything blocked, as servers do that have one signal thread.
 */
static void *masked(void *unused) {
    sigset_t got;
    pthread_sigmask(SIG_BLOCK, NULL, &got);
    for (int sig = 1; sig <= 64; sig++)
        CHECK(!can_catch(sig) || sigismember(&got, sig) == 1);
    return work(200), NULL;
}
static void threads_blocked(int argc, char **argv) {
    sigset_t all, old;
    pthread_t t[2];
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, masked, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    CHECK(sigismember(&old, SIGUSR2) == 0);
}

int main(int argc, char **argv) {
    static const struct scenario list[] = {{"own", own},
                                           {"every", every},
                                           {"query", query},
                                           {"defaults", defaults},
                                           {"chain", chain},
                                           {"blocked", blocked},
                                           {"waits", waits},
                                           {"altstack", altstack},
                                           {"small_stacks", small_stacks},
                                           {"errno", keep_errno},
                                           {"eintr", eintr},
                                           {"writes", writes},
                                           {"timers", timers},
                                           {"stopped", stopped},
                                           {"longjmp", longjmps},
                                           {"pauses", pauses},
                                           {"segv", segv},
                                           {"takes", takes},
                                           {"interrupt", interrupt},
                                           {"ignored", ignored},
                                           {"threads_blocked", threads_blocked},
                                           {0}};
    return host_main(argc, argv, list);
}
