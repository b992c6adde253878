/* Programs whose CPU shares are known: the truth that a profile is held against. */
#include "host.h"

BURNER(work)
BURNER(left)
BURNER(right)

/* What the calling thread spends in a function, by its own clock. */
static _Atomic int64_t work_ns, left_ns, right_ns;
#define MEASURED(sum, call)           \
    do {                              \
        int64_t begin_ = thread_ns(); \
        call;                         \
        sum += thread_ns() - begin_;  \
    } while (0)

static void *work_thread(void *ms) {
    MEASURED(work_ns, work((intptr_t)ms));
    return NULL;
}
static void *left_thread(void *ms) {
    MEASURED(left_ns, left((intptr_t)ms));
    return NULL;
}
static void *right_thread(void *ms) {
    MEASURED(right_ns, right((intptr_t)ms));
    return NULL;
}

/* threads N MS: each burns MS of its own CPU time. */
static void threads(int argc, char **argv) {
    int n = atoi(argv[0]);
    intptr_t ms = atoi(argv[1]);
    pthread_t t[64];
    if (n == 1)
        work_thread((void *)ms);
    for (int i = 0; i < n && n > 1; i++)
        CHECK(pthread_create(&t[i], NULL, work_thread, (void *)ms) == 0);
    for (int i = 0; i < n && n > 1; i++)
        pthread_join(t[i], NULL);
    number("work", (double)work_ns);
    number("usage", usage_ns());
}

static void *work_until_files(void *n) {
    int64_t end = now_ns() + PATIENCE_NS;
    do
        work_thread((void *)100);
    while (agent_here() && now_ns() < end && dumps_in(".") < (intptr_t)n);
    return NULL;
}

/* until N: two threads burn until the agent has written N files by itself. */
static void until(int argc, char **argv) {
    pthread_t t[2];
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&t[i], NULL, work_until_files, (void *)(intptr_t)atoi(argv[0])) == 0);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    number("work", (double)work_ns);
    number("usage", usage_ns());
}

/* twins MS: two threads with equal work, one function each. */
static void twins(int argc, char **argv) {
    pthread_t a, b;
    pthread_create(&a, NULL, left_thread, (void *)(intptr_t)atoi(argv[0]));
    pthread_create(&b, NULL, right_thread, (void *)(intptr_t)atoi(argv[0]));
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    number("left", (double)left_ns);
    number("right", (double)right_ns);
    number("usage", usage_ns());
}

#define TEN(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9)
/* A body of its own each, or the linker could fold them into one. */
#define PART(n)                          \
    static NOINLINE void f##n(long k) {  \
        spin(k);                         \
        __asm__ volatile("" : : "i"(n)); \
    }
TEN(PART)

/* ten MS: ten functions of equal instruction counts in random order, what each really took measured
 * by the clock; for as long as it takes to meet 3 s of ticks, 300 of them at least. */
static void ten(int argc, char **argv) {
#define NAME(n) f##n,
    void (*const part[10])(long) = {TEN(NAME)};
    double took[10] = {0};
    uint32_t seed = 12345;
    int64_t end = thread_ns() + atoi(argv[0]) * 1000000LL;
    while (thread_ns() < end ||
           (clock_of(CLOCK_THREAD_TICKS) < 3000000000 && thread_ns() < end + PATIENCE_NS)) {
        seed = seed * 1664525 + 1013904223;
        int i = (int)((uint64_t)seed * 10 >> 32);
        int64_t before = thread_ns();
        part[i](3000000);
        took[i] += thread_ns() - before;
    }
    for (int i = 0; i < 10; i++) {
        char name[8];
        snprintf(name, sizeof name, "f%d", i);
        number(name, took[i]);
    }
    number("usage", usage_ns());
}

static NOINLINE void serial_work(int64_t ms) {
    MEASURED(left_ns, work(ms));
    __asm__ volatile("" ::: "memory");
}
static NOINLINE void parallel_work(int64_t ms) {
    MEASURED(right_ns, work(ms));
    __asm__ volatile("" ::: "memory");
}
static void *parallel_thread(void *ms) { return parallel_work((intptr_t)ms), NULL; }

/* phases MS: MS of work in one thread, then MS of work spread over four. */
static void phases(int argc, char **argv) {
    intptr_t ms = atoi(argv[0]);
    serial_work(ms);
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, parallel_thread, (void *)(ms / 4));
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    number("serial", (double)left_ns);
    number("parallel", (double)right_ns);
    number("usage", usage_ns());
}

static void *short_life(void *ms) {
    MEASURED(work_ns, work((intptr_t)ms));
    return NULL;
}

/* mayflies N: N threads of 2 ms each, eight at a time. The last one lives until it is seen, which
 * on a busy machine few of them are, and inherits what is left. */
static void mayflies(int argc, char **argv) {
    pthread_t t[8];
    for (int n = atoi(argv[0]); n > 0; n -= 8) {
        for (int i = 0; i < 8; i++)
            CHECK(pthread_create(&t[i], NULL, short_life, (void *)2) == 0);
        for (int i = 0; i < 8; i++)
            pthread_join(t[i], NULL);
    }
    CHECK(pthread_create(&t[0], NULL, short_life, (void *)SEEN_MS) == 0);
    pthread_join(t[0], NULL);
    number("work", (double)work_ns);
    number("usage", usage_ns());
}

/* half MS: burns in a thread that sleeps half of the time. */
static void half(int argc, char **argv) {
    for (int left_ms = atoi(argv[0]); left_ms > 0; left_ms -= 7) {
        work(7);
        sleep_ms(7);
    }
    work(SEEN_MS);
    number("usage", usage_ns());
}

/* dump MS: a dump in the middle; the two files together are the whole. */
static void dump(int argc, char **argv) {
    left(atoi(argv[0]));
    dump_until(".", 1);
    right(atoi(argv[0]));
    number("usage", usage_ns());
}

static NOINLINE void dive(int n, int64_t ms) {
    if (n == 0)
        work(ms);
    else
        dive(n - 1, ms);
    __asm__ volatile("" ::: "memory");
}

/* deep FRAMES MS */
static void deep(int argc, char **argv) { dive(atoi(argv[0]), atoi(argv[1])); }

int main(int argc, char **argv) {
    static const struct scenario list[] = {{"threads", threads},   {"twins", twins},
                                           {"ten", ten},           {"phases", phases},
                                           {"mayflies", mayflies}, {"half", half},
                                           {"dump", dump},         {"deep", deep},
                                           {"until", until},       {0}};
    return host_main(argc, argv, list);
}
