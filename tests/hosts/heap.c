/* Hosts that know how much they allocated where: every block comes from a function of its own name,
 * and how many, of what size, stands in "numbers". */
#include "host.h"

#include <malloc.h>
#include <stdatomic.h>

/* A site: a frame that stays on the stack while malloc runs, because the result is used after it.
 */
static void *volatile sink;

#define SITE(name)                         \
    static NOINLINE void *name(size_t n) { \
        void *p = malloc(n);               \
        sink = p;                          \
        return p;                          \
    }

typedef void *site(size_t n);

static uint64_t random_state = 88172645463325252u;

static uint64_t random_next(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

/* Nothing here is touched, so large blocks cost no memory as long as they come from the heap. */
static void no_mmap(void) {
    CHECK(mallopt(M_MMAP_THRESHOLD, 1 << 30) == 1);
    CHECK(mallopt(M_TRIM_THRESHOLD, 1 << 30) == 1);
}

static void count(const char *what, unsigned i, double v) {
    char name[32];
    snprintf(name, sizeof name, "%s%u", what, i);
    number(name, v);
}

SITE(site0)
SITE(site1)
SITE(site2)
SITE(site3)
SITE(site4) SITE(site5) SITE(site6) SITE(site7)

    static site *const sites[] = {site0, site1, site2, site3, site4, site5, site6, site7};
enum { SITES = sizeof sites / sizeof *sites };

static void *kept[2 << 20];

static double arg(int argc, char **argv, int i, double otherwise) {
    return argc > i ? atof(argv[i]) : otherwise;
}

/*
 * sizes RATE [MUCH]: site i makes blocks of x[i] rates and keeps every fourth of them. About 6,000
 * samples a site and MUCH.
 */
static void sizes(int argc, char **argv) {
    static const double x[SITES] = {0.001, 0.01, 0.1, 0.5, 1, 2, 4, 8};
    double rate = atof(argv[0]), much = arg(argc, argv, 1, 1);
    no_mmap();
    for (unsigned i = 0; i < SITES; i++) {
        size_t size = (size_t)(x[i] * rate), n_kept = 0;
        long n = (long)(much * 6000 / (x[i] < 1 ? x[i] : 1));
        for (long k = 0; k < n; k++) {
            void *p = sites[i](size);
            if (k % 4 == 0)
                kept[n_kept++ % (2 << 20)] = p;
            else
                free(p);
        }
        count("size", i, (double)size);
        count("n", i, (double)n);
        count("kept", i, (double)n_kept);
    }
    printf("made\n");
}

/*
 * one_stack SMALL LARGE: SMALL blocks of 16 bytes and 16 of LARGE bytes, all alive, from one and
 * the same stack. Scaling by the average size of a stack gets this wrong by four orders of
 * magnitude (jemalloc PR 1897).
 */
static void one_stack(int argc, char **argv) {
    long n_small = atol(argv[0]);
    size_t large = (size_t)atol(argv[1]);
    no_mmap();
    for (long i = 0; i < n_small + 16; i++)
        (void)site0(i % (n_small / 16) == 0 && i / (n_small / 16) < 16 ? large : 16);
    printf("made\n");
}

/* interleaved N: Go's test/heapsampling.go: large and small in turn must not disturb each other. */
static void interleaved(int argc, char **argv) {
    static const size_t size[] = {64 << 10, 1 << 10, 32 << 10, 512, 16 << 10, 256};
    long n = atol(argv[0]);
    no_mmap();
    for (long k = 0; k < n; k++)
        for (unsigned i = 0; i < 6; i++)
            free(sites[i](size[i]));
    for (unsigned i = 0; i < 6; i++) {
        count("size", i, (double)size[i]);
        count("n", i, (double)n);
        count("kept", i, 0);
    }
    printf("made\n");
}

static void *once(void *p) { return p = site0(1000), memset(p, 1, 1000), p; }

/* mayflies N: N threads that allocate once in their life. */
static void mayflies(int argc, char **argv) {
    enum { AT_ONCE = 16 };
    pthread_t t[AT_ONCE];
    long n = atol(argv[0]);
    for (long i = 0; i < n; i += AT_ONCE) {
        for (int k = 0; k < AT_ONCE; k++)
            CHECK(pthread_create(&t[k], NULL, once, NULL) == 0);
        for (int k = 0; k < AT_ONCE; k++) {
            void *p = NULL;
            CHECK(pthread_join(t[k], &p) == 0);
            free(p);
        }
    }
    count("size", 0, 1000);
    count("n", 0, (double)((n + AT_ONCE - 1) / AT_ONCE * AT_ONCE));
    count("kept", 0, 0);
    printf("made\n");
}

enum { SLOTS = 512 };
static _Atomic(void *) slots[SLOTS];

static NOINLINE void *swap_one(uint64_t r) {
    void *p = malloc(1 + r % 300);
    sink = p;
    return atomic_exchange(&slots[(r >> 32) % SLOTS], p);
}

static void *swap_many(void *arg) {
    uint64_t r = (uintptr_t)arg * 0x9e3779b97f4a7c15u;
    for (long i = 0; i < (intptr_t)arg >> 8; i++) {
        r ^= r << 13, r ^= r >> 7, r ^= r << 17;
        free(swap_one(r));
    }
    return NULL;
}

/* swap THREADS N: threads free each other's blocks, so that addresses come back at once in another
 * thread; at the end all is freed. */
static void swap(int argc, char **argv) {
    long threads = atol(argv[0]), n = atol(argv[1]);
    pthread_t t[16];
    for (long i = 0; i < threads; i++)
        CHECK(pthread_create(&t[i], NULL, swap_many, (void *)(n << 8 | (i + 1))) == 0);
    for (long i = 0; i < threads; i++)
        pthread_join(t[i], NULL);
    for (int i = 0; i < SLOTS; i++)
        free(slots[i]);
    number("n", (double)(threads * n));
    printf("swapped\n");
}

static NOINLINE void *grow(void *p, size_t n) {
    p = realloc(p, n);
    sink = p;
    return p;
}

/* grow N: one block that grows by a byte at a time. */
static void grow_one(int argc, char **argv) {
    char *p = NULL;
    for (long i = 1; i <= atol(argv[0]); i++) {
        p = grow(p, (size_t)i);
        p[i - 1] = 'x';
    }
    for (long i = 0; i < atol(argv[0]); i++)
        CHECK(p[i] == 'x');
    printf("grown\n");
}

/* move N: N blocks of 100 bytes that become 3000; each keeps what it held. */
static void move(int argc, char **argv) {
    long n = atol(argv[0]);
    for (long i = 0; i < n; i++)
        memcpy(kept[i] = site0(100), &i, sizeof i);
    for (long i = 0; i < n; i++) {
        kept[i] = grow(kept[i], 3000);
        CHECK(memcmp(kept[i], &i, sizeof i) == 0);
    }
    printf("moved\n");
}

/* zero N: blocks of no bytes are blocks. */
static void zero(int argc, char **argv) {
    for (long i = 0; i < atol(argv[0]); i++)
        CHECK(site0(0) != NULL);
    printf("made\n");
}

/* random_frees N: blocks of all sizes, of which a random half is freed in random order. */
static void random_frees(int argc, char **argv) {
    long n = atol(argv[0]);
    double live[4] = {0}, bytes[4] = {0};
    for (long i = 0; i < n; i++)
        kept[i] = sites[i & 3]((size_t)100 << (i & 3));
    for (long i = 0; i < n; i++) {
        long k = (long)(random_next() % (uint64_t)n);
        free(kept[k]);
        kept[k] = NULL;
    }
    for (long i = 0; i < n; i++)
        if (kept[i]) {
            live[i & 3]++;
            bytes[i & 3] += 100 << (i & 3);
        }
    for (unsigned i = 0; i < 4; i++) {
        count("size", i, 100 << i);
        count("n", i, (double)n / 4);
        count("kept", i, live[i]);
    }
    printf("%g\n", bytes[0] + bytes[1]);
}

/* large N SIZE: a loop in which every block is larger than the rate. */
static void large(int argc, char **argv) {
    long n = atol(argv[0]);
    no_mmap();
    for (long i = 0; i < n; i++)
        free(site0((size_t)atol(argv[1])));
    count("size", 0, atof(argv[1]));
    count("n", 0, (double)n);
    printf("made\n");
}

/* peak N: N blocks of 10,000 bytes at once, then almost none, then a tenth of them. */
static void peak(int argc, char **argv) {
    long n = atol(argv[0]);
    for (long i = 0; i < n; i++)
        kept[i] = site0(10000);
    for (long i = 0; i < n; i++)
        free(kept[i]);
    for (long i = 0; i < n / 10; i++)
        kept[i] = site1(10000);
    printf("made\n");
}

/* ages: blocks of another age each: one of three seconds, one of now. */
static void ages(int argc, char **argv) {
    (void)site0(1000);
    sleep_ms(2200);
    (void)site1(1000);
    printf("made\n");
}

/* growth N: N blocks at site0; a dump; N/2 more at site1 and all of site2 freed again; the end is
 * another dump. */
static void growth(int argc, char **argv) {
    long n = atol(argv[0]);
    for (long i = 0; i < n; i++)
        (void)site0(1000);
    dump_until(".", 1);
    for (long i = 0; i < n / 2; i++)
        (void)site1(1000);
    for (long i = 0; i < n; i++)
        free(site2(1000));
    printf("made\n");
}

int main(int argc, char **argv) {
    static const struct scenario scenarios[] = {
        {"sizes", sizes},
        {"one_stack", one_stack},
        {"interleaved", interleaved},
        {"swap", swap},
        {"mayflies", mayflies},
        {"grow", grow_one},
        {"move", move},
        {"zero", zero},
        {"random_frees", random_frees},
        {"large", large},
        {"peak", peak},
        {"ages", ages},
        {"growth", growth},
        {0},
    };
    return host_main(argc, argv, scenarios);
}
