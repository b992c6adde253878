/* A library whose constructor uses everything before any preloaded library's constructor has run,
 * and keeps some of it for main to free. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

char *early_kept[100];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *early_thread(void *p) { return free(p), malloc(10); }

__attribute__((constructor)) static void early(void) {
    for (int i = 0; i < 10000; i++) {
        pthread_mutex_lock(&lock);
        char *p = malloc((size_t)i % 700 + 1);
        memset(p, 'e', (size_t)i % 700 + 1);
        p = realloc(p, 900);
        pthread_mutex_unlock(&lock);
        if (i % 100 == 0)
            early_kept[i / 100] = p;
        else
            free(p);
    }
    pthread_t t;
    void *back;
    if (pthread_create(&t, NULL, early_thread, calloc(3, 50)) != 0 || pthread_join(t, &back) != 0)
        abort();
    free(back);
    if (!dlsym(RTLD_DEFAULT, "malloc") || dlsym(RTLD_DEFAULT, "no such thing"))
        abort();
}
