/* Births and ends of threads. */
#include "host.h"

#include <dlfcn.h>
#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <threads.h>

/* constructor PATH: a library that waits for a thread in its constructor. */
static void constructor(int argc, char **argv) { CHECK(dlopen(argv[0], RTLD_NOW)); }

static NOINLINE void burn_at_end(void *unused) {
    for (int64_t until = thread_ns() + 400000000; thread_ns() < until;)
        ;
}

static pthread_key_t burns;
static void *nothing(void *unused) { return NULL; }
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

int main(int argc, char **argv) {
    static const struct scenario list[] = {
        {"constructor", constructor}, {"destructor", destructor}, {"keys", keys}, {0}};
    return host_main(argc, argv, list);
}
