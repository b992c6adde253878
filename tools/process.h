#pragma once
/* What /proc tells about a process. Other users' processes mostly tell nothing. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process {
    pid_t pid;
    pid_t inner_pid;    /* its own number in its pid namespace: what stands in file names */
    char exe[4096];     /* "" when unreadable */
    char library[4096]; /* the libcprof.so in its memory, "" when there is none */
    bool has_jvm;
    bool unreadable; /* maps is not for us: library and has_jvm say nothing */
    unsigned threads;
    uint64_t caught, ignored;          /* signal n is bit n - 1 */
    uint64_t blocked;                  /* by every one of its threads */
    unsigned long queued, queue_limit; /* signals and timers of this user, and their bound */
    int seccomp;                       /* 0 none, 1 strict, 2 filter */
    bool no_new_privs;
};

/* 0, or -ESRCH when there is no such process. */
int process_read(struct process *ret_process, pid_t pid);
/* A variable of its environment as it started, or NULL; free() it. */
char *process_variable(pid_t pid, const char *name);
/* The folder it started in, as well as that can still be known; where is at least 4096 bytes. */
void process_folder(pid_t pid, char *where);
/* A decimal process number, or -1. */
pid_t process_number(const char *text);
/* AT_SECURE was set when it started. */
bool process_secure(pid_t pid);
