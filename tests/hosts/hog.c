/* The hog (hog.h) with every lock of C: hog LOCK ROUNDS. */
#include "hog.h"
#include "queue.h"

#include <limits.h>
#include <linux/futex.h>
#include <threads.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void mutex_hold(void) { CHECK(pthread_mutex_lock(&mutex) == 0); }
static void mutex_release(void) { CHECK(pthread_mutex_unlock(&mutex) == 0); }
static void mutex_pass(int victim) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
}

/* A victim with a time limit is a victim. */
static void timed_pass(int victim) {
    struct timespec far;
    clock_gettime(victim % 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME, &far);
    far.tv_sec += 3600;
    CHECK((victim % 2 ? pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &far)
                      : pthread_mutex_timedlock(&mutex, &far)) == 0);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
}

static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static void recursive_hold(void) {
    for (int i = 0; i < 3; i++)
        CHECK(pthread_mutex_lock(&recursive) == 0);
}

/* The first two unlock nothing: what is blamed is the last one. */
static NOINLINE void inner_unlocks(void) {
    for (int i = 0; i < 2; i++)
        CHECK(pthread_mutex_unlock(&recursive) == 0);
}

static void recursive_release(void) {
    inner_unlocks();
    burn(1);
    CHECK(pthread_mutex_unlock(&recursive) == 0);
}

static void recursive_pass(int victim) {
    CHECK(pthread_mutex_lock(&recursive) == 0);
    CHECK(pthread_mutex_unlock(&recursive) == 0);
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

static void write_hold(void) { CHECK(pthread_rwlock_wrlock(&rwlock) == 0); }
static void rwlock_release(void) { CHECK(pthread_rwlock_unlock(&rwlock) == 0); }
static void rwlock_pass(int victim) {
    CHECK((victim % 2 ? pthread_rwlock_rdlock(&rwlock) : pthread_rwlock_wrlock(&rwlock)) == 0);
    CHECK(pthread_rwlock_unlock(&rwlock) == 0);
}

/* The hog reads, everybody else wants to write. */
static void read_hold(void) { CHECK(pthread_rwlock_rdlock(&rwlock) == 0); }
static void write_pass(int victim) {
    CHECK(pthread_rwlock_wrlock(&rwlock) == 0);
    CHECK(pthread_rwlock_unlock(&rwlock) == 0);
}

/* The lock is let go inside pthread_cond_wait. */
static pthread_cond_t all_passed = PTHREAD_COND_INITIALIZER;
static int guests;

static void cond_hold(void) {
    mutex_hold();
    guests = 0;
}

static void cond_release(void) {
    while (guests < VICTIMS)
        CHECK(pthread_cond_wait(&all_passed, &mutex) == 0);
    mutex_release();
}

static void cond_pass(int victim) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    if (++guests == VICTIMS)
        pthread_cond_signal(&all_passed);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
}

static mtx_t mtx;

static void mtx_hold(void) { CHECK(mtx_lock(&mtx) == thrd_success); }
static void mtx_release(void) { CHECK(mtx_unlock(&mtx) == thrd_success); }
static void mtx_pass(int victim) {
    CHECK(mtx_lock(&mtx) == thrd_success);
    CHECK(mtx_unlock(&mtx) == thrd_success);
}

/* A lock of one's own upon the system call, as runtimes have them: 0 free, 1 held, 2 held and
 * waited for. */
static uint32_t word;

static void futex_lock(void) {
    uint32_t expected = 0;
    if (__atomic_compare_exchange_n(&word, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return;
    while (__atomic_exchange_n(&word, 2, __ATOMIC_ACQUIRE) != 0)
        syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
}

static void futex_unlock(void) {
    if (__atomic_exchange_n(&word, 0, __ATOMIC_RELEASE) == 2)
        syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void futex_pass(int victim) {
    futex_lock();
    futex_unlock();
}

/* Each thread sleeps on a word of its own. */
static struct queue queue;

static void queue_hold(void) { queue_lock(&queue); }
static void queue_release(void) { queue_unlock(&queue); }
static void queue_pass(int victim) {
    queue_lock(&queue);
    queue_unlock(&queue);
}

int main(int argc, char **argv) {
    static const struct hog list[] = {
        {"mutex", mutex_hold, mutex_release, mutex_pass},
        {"timed", mutex_hold, mutex_release, timed_pass},
        {"recursive", recursive_hold, recursive_release, recursive_pass},
        {"writer", write_hold, rwlock_release, rwlock_pass},
        {"reader", read_hold, rwlock_release, write_pass},
        {"cond", cond_hold, cond_release, cond_pass},
        {"c11", mtx_hold, mtx_release, mtx_pass},
        {"futex", futex_lock, futex_unlock, futex_pass},
        {"queue", queue_hold, queue_release, queue_pass},
        {0}};
    CHECK(mtx_init(&mtx, mtx_plain) == thrd_success);
    return hog_main(argc, argv, list);
}
