/* Children of every kind. Each scenario burns CPU in the processes that should have a profile of
 * their own. */
#include "host.h"

#include <sched.h>
#include <spawn.h>

BURNER(parent_work)
BURNER(child_work)
BURNER(grandchild_work)

extern char **environ;
static char *self_path;

static void reap(pid_t pid) {
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* prefork N MS: four workers; the parent has samples from before the fork. */
static void prefork(int argc, char **argv) {
    int n = atoi(argv[0]);
    pid_t pid[16];
    parent_work(atoi(argv[1]));
    for (int i = 0; i < n; i++)
        if ((pid[i] = fork()) == 0) {
            child_work(atoi(argv[1]));
            number_of_process("usage", usage_ns());
            exit(host_failed);
        }
    for (int i = 0; i < n; i++)
        reap(pid[i]);
    number_of_process("usage", usage_ns());
}

/* Writes 1 MiB of a pattern through the lowest free descriptor and burns CPU meanwhile; nothing
 * else may land there. */
static bool data_file_survives(const char *path) {
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    bool good = fd == 0;
    char page[4096], back[4096];
    memset(page, 'd', sizeof page);
    for (int i = 0; i < 256; i++) {
        good &= write(fd, page, sizeof page) == sizeof page;
        grandchild_work(1);
    }
    grandchild_work(100);
    good &= lseek(fd, 0, SEEK_END) == 1 << 20;
    for (int i = 0; i < 256; i++)
        good &= pread(fd, back, sizeof back, i * 4096L) == sizeof back &&
                memcmp(page, back, sizeof page) == 0;
    close(fd);
    return good;
}

/* daemon: forks twice, closes every descriptor, opens its data file as the first one. */
static void daemonize(int argc, char **argv) {
    char folder[500], path[520];
    CHECK(getcwd(folder, sizeof folder));
    pid_t pid = fork();
    if (pid > 0)
        return reap(pid);
    setsid();
    if (fork() > 0)
        _exit(0);
    CHECK(chdir("/") == 0);
    close_range(0, ~0u, 0);
    snprintf(path, sizeof path, "%s/data", folder);
    bool good = data_file_survives(path);
    snprintf(path, sizeof path, "%s/numbers", folder);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    good &= fd == 0;
    dprintf(fd, "good %d\n", good);
    close(fd);
    exit(0);
}

/* libc's daemon(3), then a dump by signal in the daemon. */
static void daemon3(int argc, char **argv) {
    char folder[500];
    CHECK(getcwd(folder, sizeof folder));
    CHECK(daemon(0, 0) == 0);
    child_work(100);
    dump_until(folder, 1);
    grandchild_work(100);
    CHECK(chdir(folder) == 0);
    number("good", !host_failed);
}

static void system3(int argc, char **argv) {
    parent_work(100);
    char line[600];
    snprintf(line, sizeof line, "%s burn 100 && echo from the shell", self_path);
    CHECK(system(line) == 0);
    FILE *f = popen("echo from the pipe", "r");
    char got[64] = "";
    CHECK(f && fgets(got, sizeof got, f) && strcmp(got, "from the pipe\n") == 0 && pclose(f) == 0);
}

static void spawn(int argc, char **argv) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 9, "/dev/null", O_RDONLY, 0);
    parent_work(100);
    for (int i = 0; i < 3; i++) {
        pid_t pid;
        char *args[] = {self_path, "burn", "100", NULL};
        CHECK(posix_spawn(&pid, self_path, &actions, NULL, args, environ) == 0);
        reap(pid);
    }
}

static void vfork_exec(int argc, char **argv) {
    parent_work(100);
    for (int i = 0; i < 3; i++) {
        pid_t pid = vfork();
        if (pid == 0) {
            execl(self_path, self_path, "burn", "100", NULL);
            _exit(127);
        }
        reap(pid);
    }
}

static NOINLINE void one_vfork(void) {
    volatile uint64_t canary[8];
    for (int i = 0; i < 8; i++)
        canary[i] = 0x1122334455667788u * (i + 1);
    pid_t pid = vfork();
    if (pid == 0)
        _exit(7);
    int status;
    if (waitpid(pid, &status, 0) != pid || status != 7 << 8)
        host_failed = true;
    for (int i = 0; i < 8; i++)
        if (canary[i] != 0x1122334455667788u * (i + 1))
            host_failed = true;
}

/* vforks N: vfork and _exit; nothing of the parent's stack may change, no file may come from a
 * child. */
static void vforks(int argc, char **argv) {
    for (int i = atoi(argv[0]); i > 0; i--)
        one_vfork();
    CHECK(!host_failed);
    parent_work(100);
}

static volatile bool stop;

static void *malloc_thread(void *unused) {
    unsigned seed = (unsigned)(uintptr_t)unused;
    void *p[64] = {0};
    while (!stop) {
        int i = rand_r(&seed) % 64;
        free(p[i]);
        p[i] = malloc(rand_r(&seed) % 5000);
    }
    for (int i = 0; i < 64; i++)
        free(p[i]);
    return NULL;
}

/* storm N: forks while four threads malloc; each child mallocs, starts a thread, and leaves. */
static void storm(int argc, char **argv) {
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, malloc_thread, (void *)(uintptr_t)(i + 1));
    for (int n = atoi(argv[0]); n > 0; n--) {
        pid_t pid = fork();
        if (pid == 0) {
            for (int i = 0; i < 100; i++)
                free(malloc(i * 100));
            pthread_t one;
            stop = true;
            if (pthread_create(&one, NULL, malloc_thread, NULL) != 0 ||
                pthread_join(one, NULL) != 0)
                _exit(1);
            n % 2 ? exit(0) : _exit(0);
        }
        reap(pid);
    }
    stop = true;
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
}

static int atfork_runs;
static void atfork(void) { atfork_runs++, free(malloc(1000)); }

/* nested: a child of a child, atfork handlers that malloc; each burns. */
static void nested(int argc, char **argv) {
    for (int i = 0; i < 20; i++)
        pthread_atfork(atfork, atfork, atfork);
    parent_work(100);
    pid_t pid = fork();
    if (pid == 0) {
        child_work(100);
        pid = fork();
        if (pid == 0) {
            grandchild_work(100);
            CHECK(atfork_runs == 80);
            exit(host_failed);
        }
        reap(pid);
        exit(host_failed);
    }
    reap(pid);
    CHECK(atfork_runs == 40);
}

/* chain N: execs itself N times; the process id stays. */
static void chain(int argc, char **argv) {
    int n = atoi(argv[0]);
    parent_work(50);
    if (n > 0) {
        char left[16];
        snprintf(left, sizeof left, "%d", n - 1);
        execl(self_path, self_path, "chain", left, NULL);
        CHECK(!"execl");
    }
    dump_until(".", 1);
    child_work(100);
}

static volatile int n_children_gone;
static void on_child(int sig) { n_children_gone++; }

/* wait [N]: the host waits for any child at all and counts SIGCHLD: it sees its own and nobody
 * else's. Without N it asks for a dump, with N it works on until the agent has written that many.
 */
static void wait_any(int argc, char **argv) {
    sigset_t chld, old;
    signal(SIGCHLD, on_child);
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, &old);
    CHECK(wait(NULL) == -1 && errno == ECHILD);
    int seen = 0;
    for (int i = 0; i < 5; i++) {
        parent_work(50);
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        while (wait(NULL) > 0)
            seen++;
        sigprocmask(SIG_SETMASK, &old, NULL);
        sigprocmask(SIG_BLOCK, &chld, &old);
    }
    if (argc == 0)
        dump_until(".", 1);
    else
        for (int64_t end = now_ns() + PATIENCE_NS;
             agent_here() && now_ns() < end && dumps_in(".") < atoi(argv[0]);)
            parent_work(50);
    CHECK(wait(NULL) == -1 && errno == ECHILD);
    CHECK_WITHIN(seen, 5, 5);
    CHECK_WITHIN(n_children_gone, 5, 5);
    printf("children %d, signals %d\n", seen, n_children_gone);
}

/* A child that ends by the last thread's pthread_exit must not write the parent's profile
 * (gperftools crashed). */
static void *thread_ends(void *unused) { return child_work(100), NULL; }

static void child_thread_exit(int argc, char **argv) {
    parent_work(100);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t t;
        pthread_create(&t, NULL, thread_ends, NULL);
        pthread_exit(NULL);
    }
    reap(pid);
}

/* A file left open over exec would be inherited: descriptors of an exec'd child are 0, 1, 2. */
static void fds(int argc, char **argv) {
    parent_work(50);
    dump_until(".", 1);
    CHECK(open("/dev/null", O_RDONLY) == 3);
    close(3);
    CHECK(system("ls /proc/self/fd") == 0);
}

static volatile sig_atomic_t counted;
static void count(int sig) { counted++; }

/* vfork_signals: a child on our memory sets every signal to what it likes, as libuv's do. */
static void change_all(sighandler_t to) {
    struct sigaction act = {.sa_handler = to}, got;
    for (int sig = 1; sig <= 64; sig++)
        if (sig != SIGKILL && sig != SIGSTOP && sig != 32 && sig != 33 &&
            (sigaction(sig, &act, NULL) != 0 || sigaction(sig, NULL, &got) != 0 ||
             got.sa_handler != to))
            _exit(1);
    _exit(0);
}
static void vfork_signals(int argc, char **argv) {
    static const sighandler_t to[] = {SIG_DFL, SIG_IGN, count};
    struct sigaction got, ignore = {.sa_handler = SIG_IGN};
    signal(SIGUSR2, count);
    for (volatile unsigned i = 0; i < sizeof to / sizeof *to; i++) {
        int status = -1;
        pid_t pid = vfork();
        if (pid == 0)
            change_all(to[i]);
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        CHECK(sigaction(SIGUSR2, &ignore, &got) == 0 && got.sa_handler == count);
        CHECK(sigaction(SIGUSR2, &got, NULL) == 0);
        CHECK(sigaction(SIGUSR1, NULL, &got) == 0 && got.sa_handler == SIG_DFL);
        kill(getpid(), SIGUSR2);
        CHECK(counted == (int)i + 1);
    }
    child_work(100);
}

static void burn(int argc, char **argv) { child_work(atoi(argv[0])); }

int main(int argc, char **argv) {
    static const struct scenario list[] = {
        {"prefork", prefork}, {"daemon", daemonize},
        {"daemon3", daemon3}, {"system", system3},
        {"spawn", spawn},     {"vfork_exec", vfork_exec},
        {"vforks", vforks},   {"storm", storm},
        {"nested", nested},   {"chain", chain},
        {"wait", wait_any},   {"child_thread_exit", child_thread_exit},
        {"fds", fds},         {"vfork_signals", vfork_signals},
        {"burn", burn},       {0}};
    self_path = argv[0];
    char full[600];
    ssize_t n = readlink("/proc/self/exe", full, sizeof full - 1);
    if (n > 0) {
        full[n] = '\0';
        self_path = full;
    }
    return host_main(argc, argv, list);
}
