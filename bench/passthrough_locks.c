/* The least that an interposer of locks can do: jump to the next provider, and nothing else. */
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

static struct {
    int (*lock)(pthread_mutex_t *), (*unlock)(pthread_mutex_t *);
    int (*read)(pthread_rwlock_t *), (*give)(pthread_rwlock_t *);
    int (*wait)(pthread_cond_t *, pthread_mutex_t *), (*signal)(pthread_cond_t *);
} next;

static void look_up(void *to, const char *name) {
    void *f = dlsym(RTLD_NEXT, name);
    memcpy(to, &f, sizeof f);
}

static __attribute__((constructor, cold, noinline)) void resolve(void) {
    look_up(&next.lock, "pthread_mutex_lock");
    look_up(&next.unlock, "pthread_mutex_unlock");
    look_up(&next.read, "pthread_rwlock_rdlock");
    look_up(&next.give, "pthread_rwlock_unlock");
    look_up(&next.wait, "pthread_cond_wait");
    look_up(&next.signal, "pthread_cond_signal");
}

/* Constructors of libraries below us may have locked already: every door can be the first. */
#define DOOR(name, next_one, type, x)       \
    int name(type *x) {                     \
        if (__builtin_expect(!next_one, 0)) \
            resolve();                      \
        return next_one(x);                 \
    }
DOOR(pthread_mutex_lock, next.lock, pthread_mutex_t, m)
DOOR(pthread_mutex_unlock, next.unlock, pthread_mutex_t, m)
DOOR(pthread_rwlock_rdlock, next.read, pthread_rwlock_t, l)
DOOR(pthread_rwlock_unlock, next.give, pthread_rwlock_t, l)
DOOR(pthread_cond_signal, next.signal, pthread_cond_t, c)

int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m) {
    if (__builtin_expect(!next.wait, 0))
        resolve();
    return next.wait(c, m);
}
