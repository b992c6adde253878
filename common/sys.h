#pragma once
/*
 * Raw system calls. They touch no errno, take no lock, allocate nothing and need no TLS, so they
 * are right in a signal handler, inside the host's malloc, and in a thread without a valid TLS
 * block.
 *
 * Every sys_x returns what the kernel returned: a result, or -errno.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>

#if defined(__x86_64__)
#include "common/sys-x86_64.h"
#elif defined(__aarch64__)
#include "common/sys-aarch64.h"
#else
#error "libcprof knows x86-64 and aarch64"
#endif

#define sys_call_0(n)             sys_raw((n), 0, 0, 0, 0, 0, 0)
#define sys_call_1(n, a)          sys_raw((n), (long)(a), 0, 0, 0, 0, 0)
#define sys_call_2(n, a, b)       sys_raw((n), (long)(a), (long)(b), 0, 0, 0, 0)
#define sys_call_3(n, a, b, c)    sys_raw((n), (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define sys_call_4(n, a, b, c, d) sys_raw((n), (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define sys_call_5(n, a, b, c, d, e) \
    sys_raw((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define sys_call_6(n, a, b, c, d, e, f) \
    sys_raw((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static inline pid_t sys_getpid(void) { return (pid_t)sys_call_0(SYS_getpid); }
static inline pid_t sys_gettid(void) { return (pid_t)sys_call_0(SYS_gettid); }

/* Opens with O_CLOEXEC added: no descriptor of ours ever leaks into a child. */
int sys_open(const char *path, int flags, mode_t mode);
int sys_openat(int dir, const char *path, int flags, mode_t mode);
int sys_close(int fd);
/* One read, EINTR repeated. */
ssize_t sys_read(int fd, void *buf, size_t n);
ssize_t sys_pread(int fd, void *buf, size_t n, off_t at);
/* Writes all n bytes or fails: 0 or -errno. EINTR and short writes are continued. */
int sys_write_all(int fd, const void *buf, size_t n);
/* Reads a whole small file (/proc) into buf, NUL-terminated: its length (at most cap - 1) or
 * -errno. */
ssize_t sys_read_file(const char *path, char *buf, size_t cap);
int sys_fstat(int fd, struct stat *st);
int sys_stat(const char *path, struct stat *st);
int sys_unlink(const char *path);
/* Renames without ever replacing an existing file: 0 or -errno (-EEXIST). */
int sys_rename_new(const char *from, const char *to);

/* Anonymous private memory, kept out of core dumps; NULL when the kernel refuses. */
void *sys_map(size_t n);
void sys_unmap(void *p, size_t n);
/* Whole pages that no file stands behind: zero from now on, and not in memory. */
void sys_empty(void *p, size_t n);
/* A forked child does not get it. */
void sys_hide_from_child(void *p, size_t n);

/* Nanoseconds of a clock; 0 if the clock does not exist (a thread that is gone). */
uint64_t sys_clock_ns(clockid_t clock);
/* The CPU clock of any thread of this process, without opening anything. */
static inline clockid_t sys_thread_clock(pid_t tid) {
    return (clockid_t)((~(unsigned)tid << 3) | 6u);
}

/* Futex on a process-private word. timeout_ns 0 waits for ever. 0 or -errno. */
int sys_futex_wait(const uint32_t *word, uint32_t expected, uint64_t timeout_ns);
void sys_futex_wake(const uint32_t *word, int n);
void sys_yield(void);

/* The kernel's own signal sets and actions: bit (signal - 1) of one 64-bit word. */
struct sys_sigaction {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};
static inline uint64_t sys_sigbit(int sig) { return (uint64_t)1 << (sig - 1); }
int sys_sigaction(int sig, const struct sys_sigaction *act, struct sys_sigaction *old);
/* how is SIG_BLOCK, SIG_UNBLOCK or SIG_SETMASK. */
int sys_sigmask(int how, const uint64_t *set, uint64_t *old);

/* Copies up to n bytes of our own memory that may be unmapped: bytes copied, or -errno. Never
 * faults. */
ssize_t sys_peek(const void *from, void *to, size_t n);
/* From now on sys_peek does without process_vm_readv, for which a seccomp filter may kill. */
void sys_peek_by_probe(void);
