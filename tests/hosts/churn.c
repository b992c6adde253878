/*
 * Contention inside the allocator: threads allocate and free at once, and free each other's blocks.
 * churn OPERATIONS [SECONDS]: that many per thread, and then on until the time is over. All threads
 * but one have waited for the mutex at least once. Whoever takes an allocator's lock in a lock's
 * door, or allocates there, hangs here.
 */
#include "hog.h"

#include <stdatomic.h>

enum { CHURNERS = 8, SLOTS = 4096 };

static void *_Atomic slots[SLOTS];
static struct {
    int operations;
    int64_t end_ns;
    pthread_mutex_t lock;
    long done;
    int held, entering;
    pid_t tid[CHURNERS - 1];
} churn_state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static size_t some_size(uint32_t r) { return r % 64 ? 16 + r % 2000 : 100000 + r % 400000; }

static NOINLINE void churn_once(uint32_t r) {
    char *fresh = malloc(some_size(r >> 8));
    CHECK(fresh);
    fresh[0] = 1;
    free(atomic_exchange(&slots[r % SLOTS], fresh));
    if (r % 16 == 0) {
        pthread_mutex_lock(&churn_state.lock);
        free(realloc(calloc(1, 64),
                     some_size(r >> 4))); /* the allocator's locks inside one of ours */
        churn_state.done++;
        pthread_mutex_unlock(&churn_state.lock);
    }
}

/* One wait that happens on any machine: threads that are never interrupted while they hold the lock
 * may get through all their operations without a second one. */
static NOINLINE void meet(int me) {
    if (me != 0) {
        churn_state.tid[me - 1] = my_tid();
        while (!load_int(&churn_state.held))
            nap();
        add_int(&churn_state.entering, 1);
    }
    pthread_mutex_lock(&churn_state.lock);
    if (me == 0) {
        store_int(&churn_state.held, 1);
        until_asleep(&churn_state.entering, churn_state.tid, CHURNERS - 1);
    }
    pthread_mutex_unlock(&churn_state.lock);
}

static void *churner(void *number_of_thread) {
    meet((int)(intptr_t)number_of_thread);
    uint32_t seed = 2654435761u * (uint32_t)(intptr_t)number_of_thread + 1;
    for (int i = 0; i < churn_state.operations || now_ns() < churn_state.end_ns; i++) {
        seed = seed * 1664525 + 1013904223;
        churn_once(seed >> 3);
    }
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t t[CHURNERS];
    churn_state.operations = atoi(argv[1]);
    churn_state.end_ns = now_ns() + (argc > 2 ? atoi(argv[2]) : 0) * 1000000000LL;
    for (int i = 0; i < CHURNERS; i++)
        CHECK(pthread_create(&t[i], NULL, churner, (void *)(intptr_t)i) == 0);
    for (int i = 0; i < CHURNERS; i++)
        pthread_join(t[i], NULL);
    dprintf(1, "churned\n");
    return host_failed || churn_state.done == 0;
}
