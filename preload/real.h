#pragma once
/*
 * HOT. The functions that libcprof stands in front of, in one table, and the real ones behind them.
 *
 *   REAL(return type, name, (parameters), (arguments), symbol version or NULL for the default one)
 *
 * real.malloc(n) may be called at any moment, also before our constructor: each pointer starts at a
 * stub that looks up the whole table and then calls on. A function that this libc does not have is
 * NULL from then on
 * (_Fork before 2.34) unless it can be made from others, as in REALS_MALLOC (real.c).
 * Including this file also declares the doors themselves, visible from outside.
 */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <sys/types.h>
#include <threads.h>

/* What a door does when there is something to do, out of the way of when there is not. */
#define COLD __attribute__((noinline, cold))
/* The doors that are called most begin with a cache line: elsewhere they cost 0.3 to 0.5 ns more.
 */
#define FAST __attribute__((aligned(64)))

/* clang-format off */
/* Their stubs pass on more than is named here. syscall stands first: syscall-x86_64.c jumps through it. */
#define REALS_VARIADIC(REAL)                                                                                                 \
    REAL(long,   syscall,            (long number, ...),                              (number),         NULL)                \
    REAL(int,    prctl,              (int option, ...),                               (option),         NULL)

#define REALS_MALLOC(REAL)                                                                                                   \
    REAL(void *, malloc,             (size_t n),                                      (n),              NULL)                \
    REAL(void *, calloc,             (size_t n, size_t size),                         (n, size),        NULL)                \
    REAL(void *, realloc,            (void *p, size_t n),                             (p, n),           NULL)                \
    REAL(void *, reallocarray,       (void *p, size_t n, size_t size),                (p, n, size),     NULL)                \
    REAL(void,   free,               (void *p),                                       (p),              NULL)                \
    REAL(void,   cfree,              (void *p),                                       (p),              NULL)                \
    REAL(int,    posix_memalign,     (void **ret_p, size_t align, size_t n),          (ret_p, align, n), NULL)               \
    REAL(void *, aligned_alloc,      (size_t align, size_t n),                        (align, n),       NULL)                \
    REAL(void *, memalign,           (size_t align, size_t n),                        (align, n),       NULL)                \
    REAL(void *, valloc,             (size_t n),                                      (n),              NULL)                \
    REAL(void *, pvalloc,            (size_t n),                                      (n),              NULL)                \
    REAL(size_t, malloc_usable_size, (void *p),                                       (p),              NULL)                \
    REAL(void,   free_sized,         (void *p, size_t n),                             (p, n),           NULL)                \
    REAL(void,   free_aligned_sized, (void *p, size_t align, size_t n),               (p, align, n),    NULL)

/* Operator new and delete, as the linker knows them. */
#define REALS_NEW(REAL)                                                                                                      \
    REAL(void *, _Znwm,                               (size_t n),                                              (n),                   NULL)\
    REAL(void *, _Znam,                               (size_t n),                                              (n),                   NULL)\
    REAL(void *, _ZnwmRKSt9nothrow_t,                 (size_t n, const void *nothrow),                         (n, nothrow),          NULL)\
    REAL(void *, _ZnamRKSt9nothrow_t,                 (size_t n, const void *nothrow),                         (n, nothrow),          NULL)\
    REAL(void *, _ZnwmSt11align_val_t,                (size_t n, size_t align),                                (n, align),            NULL)\
    REAL(void *, _ZnamSt11align_val_t,                (size_t n, size_t align),                                (n, align),            NULL)\
    REAL(void *, _ZnwmSt11align_val_tRKSt9nothrow_t,  (size_t n, size_t align, const void *nothrow),           (n, align, nothrow),   NULL)\
    REAL(void *, _ZnamSt11align_val_tRKSt9nothrow_t,  (size_t n, size_t align, const void *nothrow),           (n, align, nothrow),   NULL)

#define REALS_DELETE(REAL)                                                                                                   \
    REAL(void,   _ZdlPv,                              (void *p),                                               (p),                   NULL)\
    REAL(void,   _ZdaPv,                              (void *p),                                               (p),                   NULL)\
    REAL(void,   _ZdlPvm,                             (void *p, size_t n),                                     (p, n),                NULL)\
    REAL(void,   _ZdaPvm,                             (void *p, size_t n),                                     (p, n),                NULL)\
    REAL(void,   _ZdlPvRKSt9nothrow_t,                (void *p, const void *nothrow),                          (p, nothrow),          NULL)\
    REAL(void,   _ZdaPvRKSt9nothrow_t,                (void *p, const void *nothrow),                          (p, nothrow),          NULL)\
    REAL(void,   _ZdlPvSt11align_val_t,               (void *p, size_t align),                                 (p, align),            NULL)\
    REAL(void,   _ZdaPvSt11align_val_t,               (void *p, size_t align),                                 (p, align),            NULL)\
    REAL(void,   _ZdlPvmSt11align_val_t,              (void *p, size_t n, size_t align),                       (p, n, align),         NULL)\
    REAL(void,   _ZdaPvmSt11align_val_t,              (void *p, size_t n, size_t align),                       (p, n, align),         NULL)\
    REAL(void,   _ZdlPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t align, const void *nothrow),            (p, align, nothrow),   NULL)\
    REAL(void,   _ZdaPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t align, const void *nothrow),            (p, align, nothrow),   NULL)

#define REALS_THREAD(REAL)                                                                                                   \
    REAL(int,    pthread_create,     (pthread_t *t, const pthread_attr_t *attr, void *(*start)(void *), void *arg), (t, attr, start, arg), NULL) \
    REAL(int,    thrd_create,        (thrd_t *t, thrd_start_t start, void *arg),      (t, start, arg),  NULL)                \
    REAL(void,   pthread_exit,       (void *result),                                  (result),         NULL)                \
    REAL(int,    tss_create,         (tss_t *key, tss_dtor_t destructor),             (key, destructor), NULL)

#define REALS_SIGNAL(REAL)                                                                                                   \
    REAL(int,    sigaction,          (int sig, const struct sigaction *act, struct sigaction *old), (sig, act, old), NULL)   \
    REAL(sighandler_t, signal,       (int sig, sighandler_t handler),                 (sig, handler),   NULL)                \
    REAL(sighandler_t, bsd_signal,   (int sig, sighandler_t handler),                 (sig, handler),   NULL)                \
    REAL(sighandler_t, ssignal,      (int sig, sighandler_t handler),                 (sig, handler),   NULL)                \
    REAL(sighandler_t, sysv_signal,  (int sig, sighandler_t handler),                 (sig, handler),   NULL)                \
    REAL(sighandler_t, __sysv_signal, (int sig, sighandler_t handler),                (sig, handler),   NULL)                \
    REAL(sighandler_t, sigset,       (int sig, sighandler_t handler),                 (sig, handler),   NULL)                \
    REAL(int,    sigignore,          (int sig),                                       (sig),            NULL)                \
    REAL(int,    siginterrupt,       (int sig, int interrupt),                        (sig, interrupt), NULL)                \
    REAL(int,    sigprocmask,        (int how, const sigset_t *set, sigset_t *old),   (how, set, old),  NULL)                \
    REAL(int,    pthread_sigmask,    (int how, const sigset_t *set, sigset_t *old),   (how, set, old),  NULL)                \
    REAL(int,    sigwait,            (const sigset_t *set, int *ret_sig),             (set, ret_sig),   NULL)                \
    REAL(int,    sigwaitinfo,        (const sigset_t *set, siginfo_t *ret_info),      (set, ret_info),  NULL)                \
    REAL(int,    sigtimedwait,       (const sigset_t *set, siginfo_t *ret_info, const struct timespec *timeout), (set, ret_info, timeout), NULL) \
    REAL(int,    signalfd,           (int fd, const sigset_t *set, int flags),        (fd, set, flags), NULL)

/* Versions: of conditions there are two, the older one (of 2002) a single word; dlsym of glibc
 * before 2.36 finds that one. */
#define REALS_LOCK_LATER(REAL)                                                                                               \
    REAL(int,    pthread_mutex_timedlock,(pthread_mutex_t *m, const struct timespec *until),(m, until),      NULL)           \
    REAL(int,    pthread_mutex_clocklock,(pthread_mutex_t *m, clockid_t clock, const struct timespec *until),(m, clock, until),NULL) \
    REAL(int,    pthread_rwlock_timedrdlock,(pthread_rwlock_t *l, const struct timespec *until),(l, until),      NULL)       \
    REAL(int,    pthread_rwlock_clockrdlock,(pthread_rwlock_t *l, clockid_t clock, const struct timespec *until),(l, clock, until),NULL) \
    REAL(int,    pthread_rwlock_timedwrlock,(pthread_rwlock_t *l, const struct timespec *until),(l, until),      NULL)       \
    REAL(int,    pthread_rwlock_clockwrlock,(pthread_rwlock_t *l, clockid_t clock, const struct timespec *until),(l, clock, until),NULL) \
    REAL(int,    pthread_cond_wait, (pthread_cond_t *c, pthread_mutex_t *m),          (c, m),          "GLIBC_2.3.2")        \
    REAL(int,    pthread_cond_timedwait,(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *until),(c, m, until),   "GLIBC_2.3.2") \
    REAL(int,    pthread_cond_clockwait,(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock, const struct timespec *until),(c, m, clock, until),NULL) \
    REAL(int,    pthread_cond_signal,(pthread_cond_t *c),                              (c),             "GLIBC_2.3.2")       \
    REAL(int,    pthread_cond_broadcast,(pthread_cond_t *c),                              (c),             "GLIBC_2.3.2")    \
    REAL(int,    sem_timedwait,     (sem_t *s, const struct timespec *until),         (s, until),      NULL)                 \
    REAL(int,    sem_clockwait,     (sem_t *s, clockid_t clock, const struct timespec *until),(s, clock, until),NULL)        \
    REAL(int,    pthread_barrier_wait,(pthread_barrier_t *b),                           (b),             NULL)               \
    REAL(int,    pthread_timedjoin_np,(pthread_t t, void **ret_result, const struct timespec *until),(t, ret_result, until),NULL) \
    REAL(int,    pthread_clockjoin_np,(pthread_t t, void **ret_result, clockid_t clock, const struct timespec *until),(t, ret_result, clock, until),NULL) \
    REAL(int,    mtx_lock,          (mtx_t *m),                                       (m),             NULL)                 \
    REAL(int,    mtx_timedlock,     (mtx_t *m, const struct timespec *until),         (m, until),      NULL)                 \
    REAL(int,    mtx_unlock,        (mtx_t *m),                                       (m),             NULL)                 \
    REAL(int,    cnd_wait,          (cnd_t *c, mtx_t *m),                             (c, m),          NULL)                 \
    REAL(int,    cnd_timedwait,     (cnd_t *c, mtx_t *m, const struct timespec *until),(c, m, until),   NULL)                \
    REAL(int,    cnd_signal,        (cnd_t *c),                                       (c),             NULL)                 \
    REAL(int,    cnd_broadcast,     (cnd_t *c),                                       (c),             NULL)                 \
    REAL(int,    thrd_join,         (thrd_t t, int *ret_result),                      (t, ret_result), NULL)                 \
    REAL(void,   call_once,         (once_flag *once, void (*init)(void)),            (once, init),    NULL)

/* In every libc that we know, under one version: what allocators begin and lock with. Looked up first (real.c). */
#define REALS_LOCK_FIRST(REAL)                                                                                               \
    REAL(int,    pthread_mutex_lock,(pthread_mutex_t *m),                             (m),             NULL)                 \
    REAL(int,    pthread_mutex_unlock,(pthread_mutex_t *m),                             (m),             NULL)               \
    REAL(int,    pthread_rwlock_rdlock,(pthread_rwlock_t *l),                            (l),             NULL)              \
    REAL(int,    pthread_rwlock_wrlock,(pthread_rwlock_t *l),                            (l),             NULL)              \
    REAL(int,    pthread_rwlock_unlock,(pthread_rwlock_t *l),                            (l),             NULL)              \
    REAL(int,    sem_wait,          (sem_t *s),                                       (s),             NULL)                 \
    REAL(int,    sem_post,          (sem_t *s),                                       (s),             NULL)                 \
    REAL(int,    pthread_spin_lock, (pthread_spinlock_t *s),                          (s),             NULL)                 \
    REAL(int,    pthread_spin_unlock,(pthread_spinlock_t *s),                          (s),             NULL)                \
    REAL(int,    pthread_key_create,(pthread_key_t *key, void (*destructor)(void *)), (key, destructor), NULL)              \
    REAL(int,    pthread_once,      (pthread_once_t *once, void (*init)(void)),       (once, init),    NULL)                 \
    REAL(int,    pthread_join,      (pthread_t t, void **ret_result),                 (t, ret_result), NULL)

/* Called by doors, and no doors themselves. */
#define REALS_BEHIND(REAL)                                                                                                   \
    REAL(int,    pthread_mutex_trylock,(pthread_mutex_t *m),                             (m),             NULL)              \
    REAL(int,    pthread_rwlock_tryrdlock,(pthread_rwlock_t *l),                            (l),             NULL)           \
    REAL(int,    pthread_rwlock_trywrlock,(pthread_rwlock_t *l),                            (l),             NULL)           \
    REAL(int,    sem_trywait,       (sem_t *s),                                       (s),             NULL)                 \
    REAL(int,    pthread_spin_trylock,(pthread_spinlock_t *s),                          (s),             NULL)               \
    REAL(int,    mtx_trylock,       (mtx_t *m),                                       (m),             NULL)

#define REALS_PROCESS(REAL)                                                                                                  \
    REAL(pid_t,  _Fork,              (void),                                          (),               NULL)                \
    REAL(int,    daemon,             (int nochdir, int noclose),                      (nochdir, noclose), NULL)              \
    REAL(void,   _exit,              (int status),                                    (status),         NULL)                \
    REAL(void,   _Exit,              (int status),                                    (status),         NULL)                \
    REAL(void,   quick_exit,         (int status),                                    (status),         NULL)                \
    REAL(int,    unshare,            (int flags),                                     (flags),          NULL)                \
    REAL(int,    setns,              (int fd, int type),                              (fd, type),       NULL)

/* The real ones may come later or not at all (frames.c). */
#define REALS_FRAMES(REAL)                                                                    \
    REAL(void, __register_frame, (void *begin), (begin), NULL) \
    REAL(void, __register_frame_table, (void *begin), (begin), NULL) \
    REAL(void, __register_frame_info, (const void *begin, void *object), (begin, object), NULL) \
    REAL(void, __register_frame_info_bases, (const void *begin, void *object, void *text, void *data), (begin, object, text, data), NULL) \
    REAL(void, __register_frame_info_table, (void *begin, void *object), (begin, object), NULL) \
    REAL(void, __register_frame_info_table_bases, (void *begin, void *object, void *text, void *data), (begin, object, text, data), NULL) \
    REAL(void, __deregister_frame, (void *begin), (begin), NULL) \
    REAL(void *, __deregister_frame_info, (const void *begin), (begin), NULL) \
    REAL(void *, __deregister_frame_info_bases, (const void *begin), (begin), NULL)

#define REALS_NOT_LOCK_FIRST(REAL)                                                              \
    REALS_MALLOC(REAL) REALS_NEW(REAL) REALS_DELETE(REAL) REALS_THREAD(REAL) REALS_SIGNAL(REAL) \
    REALS_LOCK_LATER(REAL) REALS_PROCESS(REAL) REALS_FRAMES(REAL)
#define REALS_FIXED(REAL) REALS_NOT_LOCK_FIRST(REAL) REALS_LOCK_FIRST(REAL)
#define REALS(REAL)       REALS_VARIADIC(REAL) REALS_FIXED(REAL)
#define REALS_ALL(REAL)   REALS(REAL) REALS_BEHIND(REAL)
/* clang-format on */

/* The first cache line, of 64 bytes, has what malloc, realloc and free need. */
struct real {
#define REAL(type, name, params, args, version) type(*name) params;
    REALS_ALL(REAL)
#undef REAL
    void (*host_free)(void *p); /* the free that the host calls: real.free, or one in front of us */
    bool owns_malloc; /* the host's malloc is our door: no program or preload defines one before us
                       */
    uint8_t owns_new; /* a bit for each row of REALS_NEW that is the provider's own and does not
                         come back through malloc */
};

#define REAL(type, name, params, args, version) NEW##name,
enum real_new { REALS_NEW(REAL) REAL_NEWS };
#undef REAL
_Static_assert(REAL_NEWS <= 8, "a bit for each");

extern struct real real __attribute__((visibility("hidden")));

#define REAL(type, name, params, args, version) \
    type name params __attribute__((visibility("default")));
REALS(REAL)
#undef REAL

/* Sets owns_new. In the constructor, because it calls the provider, which may be in the middle of
 * its own beginning when the first call of ours makes us look up. CALM. */
void real_find_operators(void) __attribute__((visibility("hidden")));
/* The object that serves malloc, and the one whose malloc the host uses: an absolute path or NULL.
 * CALM. */
const char *real_provider(void) __attribute__((visibility("hidden")));
const char *real_in_front(void) __attribute__((visibility("hidden")));
/* The provider's own function of that name, or NULL. CALM. */
void *real_of_provider(const char *name) __attribute__((visibility("hidden")));
/* What was looked for in vain is no error of the host's, nor its memory: nothing of it is left for
 * dlerror(). The caller is busy. CALM. */
void real_forget_errors(void) __attribute__((visibility("hidden")));

/* Looks everything up; any thread, any number of times. */
void real_resolve(void) __attribute__((visibility("hidden")));
