/*
 * vforked N: while two threads work, main makes N children by vfork; each runs in our memory while
 * main stands still, burns CPU, gets a signal, and ends.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static atomic_bool stop;
static volatile unsigned long sink;

static __attribute__((noinline)) void parent_work(void) {
    for (int i = 0; i < 100000; i++)
        sink = sink + 1;
    __asm__ volatile("");
}

static void *work(void *arg) {
    while (!stop)
        parent_work();
    return NULL;
}

static __attribute__((noinline)) void child_work(void) {
    struct timespec t;
    do {
        for (volatile int i = 0; i < 100000; i++)
            ;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    } while (t.tv_sec == 0 && t.tv_nsec < 20000000);
}

static __attribute__((noinline)) int one_child(void) {
    int status = -1;
    pid_t pid = vfork();
    if (pid == 0) {
        child_work();
        syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), SIGWINCH);
        child_work();
        _exit(7);
    }
    waitpid(pid, &status, 0);
    return status;
}

static void nothing(int sig) {}

int main(int argc, char **argv) {
    pthread_t t[2];
    int ends = 0, n = argc > 1 ? atoi(argv[1]) : 1;
    signal(SIGWINCH, nothing);
    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, work, NULL);
    for (int i = 0; i < n; i++) {
        ends += one_child() == 7 << 8;
        parent_work();
    }
    stop = true;
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    printf("%d children\n", ends);
    return 0;
}
