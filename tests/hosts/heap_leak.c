/*
 * A service that forgets: heap_leak SECTIONS. Each section serves requests out of a cache with
 * replacement, with buffers that come and go, in two threads; in one request of 20 a client's
 * record stays behind. Between the sections a dump is asked for.
 */
#include "host.h"

enum { CACHE = 4000, REQUESTS = 200000, EVERY = 20, RECORD = 300, WORKERS = 2 };

static void *volatile sink;

struct entry {
    char *key, *value;
};

struct worker {
    struct entry cache[CACHE];
    uint64_t random;
    long n_forgotten;
};

static struct worker workers[WORKERS];

static uint64_t random_next(struct worker *w) {
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    return w->random ^= w->random << 17;
}

static NOINLINE void remember_client(struct worker *w) {
    char *record = malloc(RECORD);
    sink = record;
    w->n_forgotten++;
}

static NOINLINE void replace_entry(struct worker *w, uint64_t r) {
    struct entry *e = &w->cache[r % CACHE];
    free(e->key);
    free(e->value);
    char text[40];
    snprintf(text, sizeof text, "key-%llu", (unsigned long long)(r >> 20));
    e->key = strdup(text);
    e->value = calloc(1, 50 + (r >> 40) % 400);
}

static NOINLINE size_t answer(struct worker *w, uint64_t r) {
    size_t n = 0, cap = 64;
    char *reply = malloc(cap);
    for (int part = 0; part < 4; part++) {
        struct entry *e = &w->cache[(r >> (8 * part)) % CACHE];
        size_t more = e->key ? strlen(e->key) : 3;
        if (n + more > cap)
            reply = realloc(reply, cap *= 4);
        memset(reply + n, 'r', more);
        n += more;
    }
    sink = reply;
    free(reply);
    return n;
}

static void *serve(void *arg) {
    struct worker *w = arg;
    for (long i = 0; i < REQUESTS; i++) {
        uint64_t r = random_next(w);
        if (r % 3 == 0)
            replace_entry(w, r);
        (void)answer(w, r);
        if (i % EVERY == 0)
            remember_client(w);
    }
    return NULL;
}

static double forgotten(void) {
    double n = 0;
    for (int i = 0; i < WORKERS; i++)
        n += (double)workers[i].n_forgotten;
    return n;
}

int main(int argc, char **argv) {
    int sections = atoi(argv[1]);
    for (int i = 0; i < WORKERS; i++)
        workers[i].random = 88172645463325252u + (uint64_t)i * 977;
    for (int section = 0; section < sections; section++) {
        pthread_t t[WORKERS];
        for (int i = 0; i < WORKERS; i++)
            CHECK(pthread_create(&t[i], NULL, serve, &workers[i]) == 0);
        for (int i = 0; i < WORKERS; i++)
            pthread_join(t[i], NULL);
        char name[32];
        snprintf(name, sizeof name, "forgotten%d", section);
        number(name, forgotten());
        if (section + 1 < sections)
            dump_until(".", section + 1);
    }
    number("record", RECORD);
    printf("served\n");
    return host_failed;
}
