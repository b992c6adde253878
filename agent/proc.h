#pragma once
/* ANYWHERE. What /proc/self says, read with raw system calls and no memory but the caller's.
 * Everything here may find no /proc (a chroot, a process that changed its credentials) and then
 * finds nothing. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/fmt.h"

void proc_each_thread(void (*fn)(pid_t tid, void *arg), void *arg);
bool proc_thread_exists(pid_t tid);
/* True if the thread has exited but stays as the group's leader (main ended by pthread_exit). */
bool proc_thread_is_zombie(pid_t tid);
/* Where a thread sleeps in the kernel. */
struct proc_blocked {
    int64_t call; /* number of the system call; -1: blocked, but in none (a page fault) */
    uint64_t pc, sp;
};
/* False if it runs, is gone, or may not be looked at (a process that changed its credentials). */
bool proc_thread_blocked(pid_t tid, struct proc_blocked *ret);
/* At most 15 bytes and NUL; untouched when unreadable. */
void proc_thread_name(pid_t tid, char name[16]);

/* One line of the maps file. */
struct proc_map {
    uint64_t start, end, offset;
    bool exec;
    uint64_t dev, inode;
    char path[512];
};
/* Calls fn for each mapping: 0, or -errno when the file cannot be read. */
int proc_each_map(void (*fn)(const struct proc_map *map, void *arg), void *arg);

/* A number behind "Name:" in /proc/thread-self/status (kB lines give kB); dflt when absent. */
uint64_t proc_status(const char *name, uint64_t dflt);
