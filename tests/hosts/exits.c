/* Every way to leave. The exit code or killing signal is the host's own, whatever the agent writes
 * on the way. */
#include "host.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <sys/time.h>

BURNER(work)

static int code(int argc, char **argv) { return argc > 0 ? atoi(argv[0]) : 0; }
static void by_exit(int argc, char **argv) { work(60), exit(code(argc, argv)); }
static void by__exit(int argc, char **argv) { work(60), _exit(code(argc, argv)); }
static void by__Exit(int argc, char **argv) { work(60), _Exit(code(argc, argv)); }
static void at_quick(void) { printf("at_quick_exit ran\n"), fflush(stdout); }
static void by_quick_exit(int argc, char **argv) {
    at_quick_exit(at_quick), work(60), quick_exit(code(argc, argv));
}
static void by_return(int argc, char **argv) { work(60); }
static void by_abort(int argc, char **argv) { work(60), abort(); }
static void by_raw(int argc, char **argv) { work(60), syscall(SYS_exit_group, code(argc, argv)); }
/* Until the signal ends it, or the watchdog. */
static void sleep_on(void) {
    for (;;)
        sleep_ms(1000);
}
static void by_signal(int argc, char **argv) {
    work(60), kill(getpid(), atoi(argv[0])), sleep_on();
}

static void at_exit(void) { printf("atexit ran\n"), work(30); }
__attribute__((destructor)) static void at_fini(void) { free(malloc(5000)); }
static void by_atexit(int argc, char **argv) { atexit(at_exit), work(60); }

/* Blocked and pending until the thread lets it in; the host's own handler for TERM wins over
 * CPROF_EXIT=term. */
static void on_term(int sig) { _exit(9); }
static void by_own_term(int argc, char **argv) {
    signal(SIGTERM, on_term), work(60), raise(SIGTERM), sleep_on();
}
static void by_ignored_term(int argc, char **argv) {
    signal(SIGTERM, SIG_IGN);
    work(60);
    raise(SIGTERM);
    printf("still here\n");
}
static void by_thread_signal(int argc, char **argv);

static void by_main_pthread_exit(int argc, char **argv) {
    work(60);
    printf("main leaves\n");
    fflush(stdout);
    pthread_exit(NULL);
}

static void *stays(void *main_thread) {
    pthread_join((pthread_t)main_thread, NULL);
    work(60);
    printf("thread leaves\n");
    return NULL;
}

static void by_last_thread(int argc, char **argv) {
    pthread_t t;
    pthread_create(&t, NULL, stays, (void *)pthread_self());
    by_main_pthread_exit(argc, argv);
}

static void *exits(void *c) { return work(60), exit((int)(intptr_t)c), NULL; }
static void by_thread_exit(int argc, char **argv) {
    pthread_t t;
    pthread_create(&t, NULL, exits, (void *)(intptr_t)code(argc, argv));
    sleep_on();
}

static atomic_int n_seen;
static void *burns(void *unused) {
    work(SEEN_MS);
    n_seen++;
    for (;;)
        work(1000);
    return NULL;
}

static void wait_until_one_is_seen(void) {
    for (int64_t end = now_ns() + PATIENCE_NS; now_ns() < end && !n_seen;)
        sleep_ms(1);
}

static void by_thread_signal(int argc, char **argv) {
    pthread_t t;
    pthread_create(&t, NULL, burns, NULL);
    wait_until_one_is_seen();
    kill(getpid(), atoi(argv[0]));
    sleep_on();
}

/* Eight busy threads while main leaves. */
static void by_exit_busy(int argc, char **argv) {
    pthread_t t;
    for (int i = 0; i < 8; i++)
        pthread_create(&t, NULL, burns, NULL);
    wait_until_one_is_seen();
    exit(code(argc, argv));
}

/* In a handler that interrupted malloc, after 60 ms of the process's own ticks, each of which takes
 * a sample: 60 ms of everybody's may leave it none, and then there is nothing to write. */
static void in_60_ms(void (*handler)(int)) {
    const struct itimerval once = {.it_value = {0, 60000}};
    signal(SIGVTALRM, handler);
    CHECK(setitimer(ITIMER_VIRTUAL, &once, NULL) == 0);
}

static void leaves(int sig) { exit(3); }
static void by_handler(int argc, char **argv) {
    in_60_ms(leaves);
    for (;;)
        free(malloc(3000));
}

static void _leaves(int sig) { _exit(3); }
static void by__exit_handler(int argc, char **argv) {
    in_60_ms(_leaves);
    for (;;)
        free(malloc(3000));
}

static sem_t go;
static void *triggers(void *how) {
    sem_wait(&go);
    if ((intptr_t)how == 3)
        exit(0);
    if (agent_here())
        kill(getpid(), SIGUSR2);
    return sleep_ms(1000), NULL;
}

/* Three dump requests and an exit in the same instant. */
static void four_triggers(int argc, char **argv) {
    pthread_t t[4];
    sem_init(&go, 0, 0);
    work(60);
    for (intptr_t i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, triggers, (void *)i);
    sleep_ms(5);
    for (int i = 0; i < 4; i++)
        sem_post(&go);
    sleep_on();
}

/* usr2 N: a storm of dump requests, from a child so that they do not wait for one another. */
static void storm(int argc, char **argv) {
    pid_t host = getpid(), pid = fork();
    if (pid == 0) {
        for (int n = atoi(argv[0]); n > 0 && agent_here(); n--)
            if (kill(host, SIGUSR2) != 0)
                _exit(1);
        _exit(0);
    }
    int status = -1;
    while (waitpid(pid, &status, WNOHANG) == 0)
        work(5);
    CHECK(status == 0);
    work(60);
}

/* The same with a second thread about, where the agent's thread writes. */
static void *idle(void *unused) { return sleep_ms(100000), NULL; }
static void storm_threads(int argc, char **argv) {
    pthread_t t;
    pthread_create(&t, NULL, idle, NULL);
    storm(argc, argv);
}

int main(int argc, char **argv) {
    static const struct scenario list[] = {{"exit", by_exit},
                                           {"_exit", by__exit},
                                           {"_Exit", by__Exit},
                                           {"quick_exit", by_quick_exit},
                                           {"return", by_return},
                                           {"abort", by_abort},
                                           {"raw", by_raw},
                                           {"signal", by_signal},
                                           {"atexit", by_atexit},
                                           {"own_term", by_own_term},
                                           {"ignored_term", by_ignored_term},
                                           {"thread_signal", by_thread_signal},
                                           {"main_pthread_exit", by_main_pthread_exit},
                                           {"last_thread", by_last_thread},
                                           {"thread_exit", by_thread_exit},
                                           {"exit_busy", by_exit_busy},
                                           {"handler", by_handler},
                                           {"_exit_handler", by__exit_handler},
                                           {"four_triggers", four_triggers},
                                           {"storm", storm},
                                           {"storm_threads", storm_threads},
                                           {0}};
    return host_main(argc, argv, list);
}
