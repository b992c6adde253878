/* Hosts in trouble, or that make it: limits, closed folders, filters, other users. */
#include "host.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/single_threaded.h>
#include <sys/stat.h>

BURNER(work)

static void limit(int what, rlim_t soft) {
    struct rlimit l;
    CHECK(getrlimit(what, &l) == 0);
    l.rlim_cur = soft;
    CHECK(setrlimit(what, &l) == 0);
}

static void *work_thread(void *ms) { return work((intptr_t)ms), NULL; }

/* burn MS [THREADS] */
static void burn(int argc, char **argv) {
    pthread_t t[64];
    int n = argc > 1 ? atoi(argv[1]) : 0;
    for (int i = 0; i < n; i++)
        CHECK(pthread_create(&t[i], NULL, work_thread, (void *)(intptr_t)atoi(argv[0])) == 0);
    work(atoi(argv[0]));
    for (int i = 0; i < n; i++)
        pthread_join(t[i], NULL);
    number("usage", usage_ns());
    printf("burned\n");
}

/* Starts over as a scenario of its own, so that what was arranged is there before the agent loads.
 */
static void again(char **argv) {
    char *args[16] = {(char *)"bad"};
    for (int i = 0; i < 14 && argv[i]; i++)
        args[i + 1] = argv[i];
    execv("/proc/self/exe", args);
    CHECK(!"exec");
}

static void request(void) {
    if (agent_here())
        kill(getpid(), SIGUSR2);
    sleep_ms(100);
}

/* nofile: every descriptor is taken while a dump is asked for. */
static void nofile(int argc, char **argv) {
    struct rlimit l;
    getrlimit(RLIMIT_NOFILE, &l);
    limit(RLIMIT_NOFILE, 32);
    work(60);
    while (open("/dev/null", O_RDONLY) >= 0)
        ;
    CHECK(errno == EMFILE);
    request();
    CHECK(open("/dev/null", O_RDONLY) == -1 && errno == EMFILE);
    close(10);
    CHECK(open("/dev/null", O_RDONLY) == 10);
    setrlimit(RLIMIT_NOFILE, &l);
    work(60);
}

/* fsize BYTES: SIGXFSZ would kill. */
static void fsize(int argc, char **argv) {
    limit(RLIMIT_FSIZE, (rlim_t)atoi(argv[0]));
    work(100);
}

/* limited RESOURCE VALUE SCENARIO...: a limit that is there at load. */
static void limited(int argc, char **argv) {
    limit(atoi(argv[0]), (rlim_t)atol(argv[1]));
    again(argv + 2);
}

/* jail: chroot to an empty folder while running. */
static void jail(int argc, char **argv) {
    work(100);
    CHECK(mkdir("jail", 0755) == 0 && chroot("jail") == 0 && chdir("/") == 0);
    request();
    work(100);
}

/* noproc SCENARIO...: /proc is not there when the agent loads. */
static void noproc(int argc, char **argv) {
    char exe[512];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n] = '\0';
    CHECK(unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    while (umount2("/proc", MNT_DETACH) == 0)
        ;
    CHECK(access("/proc/self", F_OK) != 0);
    char *args[16] = {exe};
    for (int i = 0; i < 14 && argv[i]; i++)
        args[i + 1] = argv[i];
    execv(exe, args);
    CHECK(!"exec");
}

/* refuse SYSCALL ERRNO SCENARIO...: a seccomp filter that answers a call with an error. */
static void refuse(int argc, char **argv) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)atoi(argv[0]), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)atoi(argv[1])),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {sizeof code / sizeof *code, code};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0);
    again(argv + 2);
}

/* strict: read, write, exit and sigreturn are all that is left; anything else kills. */
static void strict(int argc, char **argv) {
    work(100);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
    spin(300000000);
    syscall(SYS_exit, 0);
}

/* caged: a filter, put up by libc's syscall(), that kills for what a sampler does in its handler.
 */
static void caged(int argc, char **argv) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_timer_settime, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {sizeof code / sizeof *code, code};
    pthread_t t;
    CHECK(pthread_create(&t, NULL, work_thread, (void *)200) == 0);
    pthread_join(t, NULL);
    number("before", usage_ns());
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) == 0);
    work(400);
    CHECK(pthread_create(&t, NULL, work_thread, (void *)100) == 0);
    pthread_join(t, NULL);
}

/* userns: the kernel allows it to processes with one thread. */
static void userns(int argc, char **argv) {
    work(200);
    CHECK(unshare(CLONE_NEWUSER) == 0);
    work(50);
}

static void *read_all(const char *path) {
    static char text[4096];
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

/* single: one thread, no descriptor, and glibc knows it. */
static void single(int argc, char **argv) {
    work(200);
    dump_until(".", 1);
    CHECK(__libc_single_threaded);
    CHECK(strstr(read_all("/proc/self/status"), "Threads:\t1\n"));
    int fd = open("/dev/null", O_RDONLY);
    CHECK(fd == 3);
    work(100);
}

/* quiet: with the agent off, or not meant for us: no thread, no timer, no caught or blocked signal.
 */
static void quiet(int argc, char **argv) {
    work(200);
    char *text = read_all("/proc/self/status");
    CHECK(strstr(text, "Threads:\t1\n"));
    CHECK(strstr(text, "SigCgt:\t0000000000000000\n"));
    CHECK(strstr(text, "SigBlk:\t0000000000000000\n"));
    CHECK(strcmp(read_all("/proc/self/timers"), "") == 0);
}

static void become_nobody(void) {
    CHECK(chmod(".", 0777) == 0);
    CHECK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
}

/* nobody [THREADS]: gives up root after start; what is written later belongs to nobody. */
static void nobody(int argc, char **argv) {
    pthread_t t[8];
    int n = argc > 0 ? atoi(argv[0]) : 0;
    for (int i = 0; i < n; i++)
        pthread_create(&t[i], NULL, work_thread, (void *)(intptr_t)100);
    work(100);
    become_nobody();
    dump_until(".", 1);
    for (int i = 0; i < n; i++)
        pthread_join(t[i], NULL);
    work(100);
}

/* nobody_shut: gives up root, and the folder is not nobody's. */
static void nobody_shut(int argc, char **argv) {
    work(100);
    CHECK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
}

/* mlocked: an unprivileged host that locks all it will ever map, within its limit. */
static void mlocked(int argc, char **argv) {
    become_nobody();
    struct rlimit l = {8 << 20, 8 << 20};
    CHECK(setrlimit(RLIMIT_MEMLOCK, &l) == 0);
    CHECK(mlockall(MCL_FUTURE) == 0);
    work(200);
    void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    void *q = malloc(300000);
    CHECK(q);
    free(q);
}

static long vm_size(void) {
    const char *at = strstr(read_all("/proc/self/status"), "VmSize:");
    return at ? atol(at + 7) * 1024 : 0;
}

/* tight BYTES: address space is short; malloc says NULL, and the host copes. */
static void tight(int argc, char **argv) {
    work(60);
    void *volatile first = malloc(10000); /* the heap is there */
    free(first);
    limit(RLIMIT_AS, (rlim_t)(vm_size() + atol(argv[0])));
    errno = 0;
    void *p = malloc(100 << 20);
    CHECK(p == NULL && errno == ENOMEM);
    work(100);
    p = malloc(10000);
    CHECK(p);
    free(p);
}

/* no_threads: the user may have no more threads. */
static void no_threads(int argc, char **argv) {
    become_nobody();
    work(60);
    struct rlimit l = {0, 0};
    CHECK(setrlimit(RLIMIT_NPROC, &l) == 0);
    pthread_t t;
    for (int i = 0; i < 100; i++)
        CHECK(pthread_create(&t, NULL, work_thread, NULL) == EAGAIN);
    work(60);
}

/* full: the disk is. The host's own view of the folder stays the same. */
static void full(int argc, char **argv) {
    CHECK(mkdir("full", 0755) == 0);
    CHECK(unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    CHECK(mount("none", "full", "tmpfs", 0, "size=16k") == 0);
    int fd = open("full/junk", O_WRONLY | O_CREAT, 0600);
    char page[1024];
    memset(page, 'x', sizeof page);
    while (write(fd, page, sizeof page) > 0)
        ;
    CHECK(errno == ENOSPC);
    close(fd);
    work(100);
    request();
    CHECK(files_with("full", "") == 3);
}

/* nocwd: the start folder is removed. */
static void nocwd(int argc, char **argv) {
    if (argc == 0) {
        CHECK(mkdir("gone", 0755) == 0 && chdir("gone") == 0);
        char *args[] = {(char *)"nocwd", (char *)"again", NULL};
        again(args);
    }
    CHECK(rmdir("../gone") == 0);
    work(100);
    request();
}

/* moves: the host changes its folder; files belong into the one it started in. */
static void moves(int argc, char **argv) {
    CHECK(chdir("/") == 0);
    work(100);
}

/* mask OCTAL: umask is the host's; the file's mode is ours. */
static void mask(int argc, char **argv) {
    umask((mode_t)strtol(argv[0], NULL, 8));
    work(100);
    mode_t now = umask(0);
    CHECK(now == (mode_t)strtol(argv[0], NULL, 8));
}

/* planted NAME: somebody put a link, then a file, where the profile goes. */
static void planted(int argc, char **argv) {
    int fd = open("victim", O_WRONLY | O_CREAT, 0600);
    CHECK(write(fd, "precious\n", 9) == 9);
    close(fd);
    if (strcmp(argv[0], "link") == 0)
        CHECK(symlink("victim", "out.prof") == 0);
    if (strcmp(argv[0], "dangling") == 0)
        CHECK(symlink("nowhere", "out.prof") == 0);
    if (strcmp(argv[0], "hard") == 0)
        CHECK(link("victim", "out.prof") == 0);
    if (strcmp(argv[0], "fifo") == 0)
        CHECK(mkfifo("out.prof", 0600) == 0);
    if (strcmp(argv[0], "folder") == 0)
        CHECK(mkdir("out.prof", 0700) == 0);
    work(100);
}

/* plugin PATH: a library that is loaded, runs hot and is unloaded before the dump. */
static void plugin(int argc, char **argv) {
    for (int i = 0; i < 5; i++) {
        void *lib = dlopen(argv[0], RTLD_NOW);
        CHECK(lib);
        void (*f)(long) = lib ? (void (*)(long))dlsym(lib, "plugin_work") : NULL;
        CHECK(f);
        int64_t end = thread_ns() + 100000000;
        while (f && thread_ns() < end)
            f(100000);
        if (f)
            UNTIL_A_TICK(f(100000));
        CHECK(lib && dlclose(lib) == 0);
    }
}

/* undumpable: /proc/self belongs to root then. */
static void undumpable(int argc, char **argv) {
    become_nobody();
    CHECK(prctl(PR_SET_DUMPABLE, 0) == 0);
    pthread_t t;
    pthread_create(&t, NULL, work_thread, (void *)(intptr_t)100);
    work(100);
    pthread_join(t, NULL);
}

/* pidns: two first processes of two worlds with one folder. */
static void pidns(int argc, char **argv) {
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            CHECK(unshare(CLONE_NEWPID) == 0);
            pid = fork();
            if (pid == 0) {
                CHECK(getpid() == 1);
                char *args[] = {(char *)"burn", (char *)"100", NULL};
                again(args);
            }
            int status;
            CHECK(waitpid(pid, &status, 0) == pid && status == 0);
            _exit(host_failed);
        }
        int status;
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
}

int main(int argc, char **argv) {
    static const struct scenario list[] = {{"burn", burn},
                                           {"nofile", nofile},
                                           {"fsize", fsize},
                                           {"limited", limited},
                                           {"jail", jail},
                                           {"noproc", noproc},
                                           {"refuse", refuse},
                                           {"strict", strict},
                                           {"caged", caged},
                                           {"userns", userns},
                                           {"single", single},
                                           {"quiet", quiet},
                                           {"nobody", nobody},
                                           {"nobody_shut", nobody_shut},
                                           {"mlocked", mlocked},
                                           {"tight", tight},
                                           {"no_threads", no_threads},
                                           {"full", full},
                                           {"nocwd", nocwd},
                                           {"moves", moves},
                                           {"mask", mask},
                                           {"planted", planted},
                                           {"plugin", plugin},
                                           {"undumpable", undumpable},
                                           {"pidns", pidns},
                                           {0}};
    return host_main(argc, argv, list);
}
