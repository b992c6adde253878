/* Births and ends of threads. */
#include "host.h"

#include <dlfcn.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <threads.h>

/* constructor PATH: a library that waits for a thread in its constructor. */
static void constructor(int argc, char **argv) { CHECK(dlopen(argv[0], RTLD_NOW)); }

static void *nothing(void *unused) { return NULL; }

static NOINLINE void burn_at_end(void *unused) {
    for (int64_t until = thread_ns() + 400000000; thread_ns() < until;)
        ;
}

static pthread_key_t burns;
static void *sets(void *unused) {
    CHECK(pthread_setspecific(burns, &burns) == 0);
    return NULL;
}

/* destructor: the time of a thread is spent in the destructor of a key, not the first one. */
static void destructor(int argc, char **argv) {
    pthread_t t;
    CHECK(pthread_create(&t, NULL, nothing, NULL) == 0);
    CHECK(pthread_join(t, NULL) == 0);
    CHECK(pthread_key_create(&burns, burn_at_end) == 0);
    CHECK(pthread_create(&t, NULL, sets, NULL) == 0);
    CHECK(pthread_join(t, NULL) == 0);
}

/* bare: main and its thread end, and nobody is told of the thread's end. */
static void *ends_barely(void *unused) {
    for (int64_t until = thread_ns() + 50000000; thread_ns() < until;)
        ;
    syscall(SYS_exit, 0);
    return NULL;
}
static void bare(int argc, char **argv) {
    pthread_t t;
    CHECK(pthread_create(&t, NULL, ends_barely, NULL) == 0);
    pthread_exit(NULL);
}

static atomic_bool may_end;
static void *waits(void *unused) {
    while (!atomic_load(&may_end))
        sched_yield();
    return NULL;
}

static NOINLINE void *burn_without_key(void *unused) { return burn_at_end(NULL), NULL; }

/* keys: as many as there may be, of both kinds, while threads are there and afterwards. */
static void keys(int argc, char **argv) {
    pthread_t t[8], late;
    pthread_key_t key[PTHREAD_KEYS_MAX];
    tss_t one_more;
    for (int i = 0; i < 8; i++)
        CHECK(pthread_create(&t[i], NULL, waits, NULL) == 0);
    CHECK(tss_create(&key[0], NULL) == thrd_success);
    for (int i = 1; i < PTHREAD_KEYS_MAX; i++)
        CHECK(pthread_key_create(&key[i], NULL) == 0);
    CHECK(pthread_key_create(&one_more, NULL) == EAGAIN);
    CHECK(tss_create(&one_more, NULL) == thrd_error);
    atomic_store(&may_end, true);
    for (int i = 0; i < 8; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
    CHECK(pthread_create(&late, NULL, burn_without_key, NULL) == 0);
    CHECK(pthread_join(late, NULL) == 0);
    for (int i = 0; i < PTHREAD_KEYS_MAX; i++)
        CHECK(pthread_key_delete(key[i]) == 0);
}

/* sandbox: threads that began before a filter went up end behind it. It kills for what only a
 * sampler would call. */
static atomic_int burned;
static void *burns_and_waits(void *unused) {
    burn_at_end(NULL);
    atomic_fetch_add(&burned, 1);
    return waits(NULL);
}
static void put_up_filter(void) {
    static const int deadly[] = {
        SYS_prctl,     SYS_clock_gettime, SYS_timer_delete, SYS_timer_settime, SYS_process_vm_readv,
        SYS_getrusage, SYS_getpid,        SYS_gettid};
    enum { DEADLY = sizeof deadly / sizeof *deadly };
    struct sock_filter code[2 * DEADLY + 2] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    unsigned n = 1;
    for (unsigned i = 0; i < DEADLY; i++) {
        code[n++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)deadly[i], 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog prog = {(unsigned short)n, code};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog) == 0);
}
static void no_handler(int sig) {}
static void sandbox(int argc, char **argv) {
    pthread_t t[2];
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&t[i], NULL, burns_and_waits, NULL) == 0);
    while (atomic_load(&burned) < 2)
        sched_yield();
    put_up_filter();
    atomic_store(&may_end, true);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
    CHECK(pthread_create(&t[0], NULL, nothing, NULL) == 0);
    CHECK(pthread_join(t[0], NULL) == 0);
    struct sigaction act = {.sa_handler = no_handler};
    CHECK(sigaction(SIGUSR1, &act, NULL) == 0);
    CHECK(sigaction(SIGUSR2, NULL, &act) == 0);
    for (int i = 0; i < 1000000; i++)
        free(malloc((size_t)i % 4096));
}

/* sandboxes: eight threads ask for one at once, and get none. */
static atomic_int at_line;
static void *asks(void *unused) {
    atomic_fetch_add(&at_line, 1);
    while (atomic_load(&at_line) < 8)
        ;
    CHECK(prctl(PR_SET_SECCOMP, 99, 0, 0, 0) == -1);
    return NULL;
}
static void sandboxes(int argc, char **argv) {
    pthread_t t[8];
    for (int i = 0; i < 8; i++)
        CHECK(pthread_create(&t[i], NULL, asks, NULL) == 0);
    for (int i = 0; i < 8; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
}

/* requests: a thread for each, as some servers do. */
static NOINLINE void *request(void *unused) {
    for (int64_t until = thread_ns() + 8000000; thread_ns() < until;)
        ;
    return NULL;
}
static void requests(int argc, char **argv) {
    pthread_t t;
    for (int i = 0; i < 300; i++) {
        CHECK(pthread_create(&t, NULL, request, NULL) == 0);
        CHECK(pthread_join(t, NULL) == 0);
    }
}

int main(int argc, char **argv) {
    static const struct scenario list[] = {{"constructor", constructor},
                                           {"destructor", destructor},
                                           {"keys", keys},
                                           {"bare", bare},
                                           {"sandbox", sandbox},
                                           {"sandboxes", sandboxes},
                                           {"requests", requests},
                                           {0}};
    return host_main(argc, argv, list);
}
