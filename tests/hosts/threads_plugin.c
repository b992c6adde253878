/* A library whose constructor starts a thread and waits until it ran and ended: under dlopen() the
 * loader's lock is held all the while. */
#include <pthread.h>
#include <semaphore.h>

static sem_t ran;

static void *run(void *arg) {
    sem_post(&ran);
    return arg;
}

__attribute__((constructor)) static void begin(void) {
    pthread_t t;
    sem_init(&ran, 0, 0);
    if (pthread_create(&t, NULL, run, &ran) == 0) {
        sem_wait(&ran);
        pthread_join(t, NULL);
    }
}
