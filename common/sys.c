/*
 * Why not libc's wrappers: they set errno, some are cancellation points, some are interposed by the
 * host or by ourselves, and none works in a thread made by a raw clone without TLS.
 */
#include "common/sys.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif
#define SA_RESTORER_KERNEL 0x04000000ul

int sys_openat(int dir, const char *path, int flags, mode_t mode) {
    long r;
    do
        r = sys_call_4(SYS_openat, dir, path, flags | O_CLOEXEC, mode);
    while (r == -EINTR);
    return (int)r;
}

int sys_open(const char *path, int flags, mode_t mode) {
    return sys_openat(AT_FDCWD, path, flags, mode);
}

int sys_close(int fd) { return (int)sys_call_1(SYS_close, fd); }

ssize_t sys_read(int fd, void *buf, size_t n) {
    long r;
    do
        r = sys_call_3(SYS_read, fd, buf, n);
    while (r == -EINTR);
    return r;
}

ssize_t sys_pread(int fd, void *buf, size_t n, off_t at) {
    long r;
    do
        r = sys_call_4(SYS_pread64, fd, buf, n, at);
    while (r == -EINTR);
    return r;
}

int sys_write_all(int fd, const void *buf, size_t n) {
    const char *p = buf;
    while (n > 0) {
        long r = sys_call_3(SYS_write, fd, p, n);
        if (r == -EINTR)
            continue;
        if (r <= 0)
            return r == 0 ? -EIO : (int)r;
        p += r;
        n -= (size_t)r;
    }
    return 0;
}

ssize_t sys_read_file(const char *path, char *buf, size_t cap) {
    int fd = sys_open(path, O_RDONLY, 0);
    if (fd < 0)
        return fd;
    size_t n = 0;
    ssize_t r = 0;
    while (n < cap - 1 && (r = sys_read(fd, buf + n, cap - 1 - n)) > 0)
        n += (size_t)r;
    sys_close(fd);
    buf[n] = '\0';
    return r < 0 ? r : (ssize_t)n;
}

int sys_fstat(int fd, struct stat *st) {
    return (int)sys_call_4(SYS_newfstatat, fd, "", st, 0x1000);
}

int sys_stat(const char *path, struct stat *st) {
    return (int)sys_call_4(SYS_newfstatat, AT_FDCWD, path, st, 0);
}

int sys_unlink(const char *path) { return (int)sys_call_3(SYS_unlinkat, AT_FDCWD, path, 0); }

/* Some file systems do not know RENAME_NOREPLACE; a hard link refuses an existing name everywhere.
 */
int sys_rename_new(const char *from, const char *to) {
    long r = sys_call_5(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    if (r != -EINVAL && r != -ENOSYS)
        return (int)r;
    r = sys_call_5(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (r == 0)
        sys_unlink(from);
    return (int)r;
}

void *sys_map(size_t n) {
    long r = sys_call_6(SYS_mmap, 0, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r < 0 && r > -4096)
        return NULL;
    sys_call_3(SYS_madvise, r, n, MADV_DONTDUMP);
    return (void *)r;
}

void sys_unmap(void *p, size_t n) { sys_call_2(SYS_munmap, p, n); }

void sys_empty(void *p, size_t n) {
    if (sys_call_3(SYS_madvise, p, n, MADV_DONTNEED) != 0) /* locked, or larger pages */
        memset(p, 0, n);
}

void sys_hide_from_child(void *p, size_t n) { sys_call_3(SYS_madvise, p, n, MADV_DONTFORK); }

uint64_t sys_clock_ns(clockid_t clock) {
    struct timespec ts;
    if (sys_call_2(SYS_clock_gettime, clock, &ts) != 0)
        return 0;
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int sys_futex_wait(const uint32_t *word, uint32_t expected, uint64_t timeout_ns) {
    struct timespec ts = {(time_t)(timeout_ns / 1000000000u), (long)(timeout_ns % 1000000000u)};
    return (int)sys_call_4(SYS_futex, word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, expected,
                           timeout_ns ? &ts : NULL);
}

void sys_futex_wake(const uint32_t *word, int n) {
    sys_call_3(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, n);
}

void sys_yield(void) { sys_call_0(SYS_sched_yield); }

#if defined(__x86_64__)
__asm__(".text\n"
        ".type sys_restorer, @function\n"
        "sys_restorer:\n\t"
        "movq $15, %rax\n\t"
        "syscall\n"
        ".size sys_restorer, .-sys_restorer\n");
void sys_restorer(void) __attribute__((visibility("hidden")));
#endif

int sys_sigaction(int sig, const struct sys_sigaction *act, struct sys_sigaction *old) {
#if defined(__x86_64__)
    struct sys_sigaction with;
    if (act && !(act->flags & SA_RESTORER_KERNEL)) {
        with = *act;
        with.flags |= SA_RESTORER_KERNEL;
        with.restorer = sys_restorer;
        act = &with;
    }
#endif
    return (int)sys_call_4(SYS_rt_sigaction, sig, act, old, sizeof(uint64_t));
}

int sys_sigmask(int how, const uint64_t *set, uint64_t *old) {
    return (int)sys_call_4(SYS_rt_sigprocmask, how, set, old, sizeof(uint64_t));
}

static bool peek_by_probe;

void sys_peek_by_probe(void) { peek_by_probe = true; }

/* rt_sigprocmask reads its set before it looks at `how`: EFAULT means unreadable, EINVAL readable.
 * Any filter that lets a program live allows this call (abseil's address_is_readable uses it too).
 */
static bool readable(uintptr_t at) {
    return sys_sigmask(~0, (const uint64_t *)(at & ~(uintptr_t)7), NULL) == -EINVAL;
}

static ssize_t probe_and_copy(const void *from, void *to, size_t n) {
    enum { PAGE = 4096 };
    uintptr_t at = (uintptr_t)from;
    size_t got = 0;
    while (got < n && readable(at + got)) {
        size_t in_page = PAGE - (at + got) % PAGE;
        size_t part = n - got < in_page ? n - got : in_page;
        memcpy((char *)to + got, (const char *)from + got, part);
        got += part;
    }
    return got ? (ssize_t)got : -EFAULT;
}

ssize_t sys_peek(const void *from, void *to, size_t n) {
    if (peek_by_probe)
        return probe_and_copy(from, to, n);
    struct iovec local = {to, n};
    struct iovec remote = {(void *)from, n};
    ssize_t r = sys_call_6(SYS_process_vm_readv, sys_getpid(), &local, 1, &remote, 1, 0);
    return r == -EPERM || r == -ENOSYS ? probe_and_copy(from, to, n) : r;
}
