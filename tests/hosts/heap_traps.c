/* What has broken other heap profilers, each as a host that checks for itself that its allocator
 * behaves as the manual says. */
#include "host.h"

#include <dlfcn.h>
#include <malloc.h>
#include <spawn.h>
#include <stdatomic.h>

/* The compiler knows what these functions do, and would leave most of this file out. */
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wunknown-warning-option"
#pragma GCC diagnostic ignored "-Walloc-size-larger-than="
#pragma GCC diagnostic ignored "-Wuse-after-free"

static void *volatile sink;
static char untouched;
/* More than any address space has, not only more than a careful kernel promises. */
static volatile size_t too_much = (size_t)1 << 60, wraps = SIZE_MAX / 2 + 2, no_size = SIZE_MAX;

static NOINLINE void *site(size_t n) {
    void *p = malloc(n);
    sink = p;
    return p;
}

static NOINLINE void *other_site(size_t n) {
    void *p = malloc(n);
    sink = p;
    return p;
}

static bool holds(const void *p, int c, size_t n) {
    const unsigned char *s = p;
    for (size_t i = 0; i < n; i++)
        if (s[i] != c)
            return false;
    return true;
}

static NOINLINE void *resize(void *p, size_t n) {
    void *fresh = realloc(p, n);
    sink = fresh;
    return fresh;
}

/* realloc_fails N: under RLIMIT_AS; N blocks stay what and where they are, and in the profile. */
static void realloc_fails(int argc, char **argv) {
    long n = atol(argv[0]);
    struct rlimit l;
    getrlimit(RLIMIT_AS, &l);
    l.rlim_cur = (rlim_t)2 << 30;
    CHECK(setrlimit(RLIMIT_AS, &l) == 0);
    for (long i = 0; i < n; i++) {
        char *p = memset(site(1000), 'a', 1000);
        errno = 0;
        CHECK(resize(p, (size_t)3 << 30) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(resize(p, too_much) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(resize(p, no_size) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(reallocarray(p, wraps, 4) == NULL && errno == ENOMEM);
        CHECK(holds(p, 'a', 1000) && malloc_usable_size(p) >= 1000);
    }
    printf("all there\n");
}

/* realloc_zero N: realloc(p, 0) frees in this libc, and realloc(NULL, n) allocates. */
static void realloc_zero(int argc, char **argv) {
    for (long i = 0; i < atol(argv[0]); i++) {
        char *p = site(100);
        sink = p;
        CHECK(resize(p, 0) == NULL);
        p = resize(NULL, 200);
        CHECK(p && memset(p, 'b', 200));
        free(p);
        free(resize(NULL, 0));
    }
    printf("gone\n");
}

/* aligned_fails N: a failing posix_memalign touches neither pointer nor errno. */
static void aligned_fails(int argc, char **argv) {
    void *const mark = &untouched;
    for (long i = 0; i < atol(argv[0]); i++) {
        void *p = mark;
        errno = 1234;
        CHECK(posix_memalign(&p, 3, 100) == EINVAL && p == mark && errno == 1234);
        CHECK(posix_memalign(&p, sizeof(void *) / 2, 100) == EINVAL && p == mark);
        CHECK(posix_memalign(&p, 0, 100) == EINVAL && p == mark);
        CHECK(posix_memalign(&p, 64, too_much) == ENOMEM && p == mark);
        CHECK(posix_memalign(&p, 64, no_size) == ENOMEM && p == mark);
        errno = 0;
        CHECK(aligned_alloc(64, no_size - 63) == NULL && errno == ENOMEM);
        CHECK(memalign(64, no_size) == NULL);
        CHECK(pvalloc(no_size) == NULL);
        CHECK(valloc(no_size) == NULL);
        CHECK(malloc(no_size) == NULL);
        errno = 0;
        CHECK(malloc(too_much) == NULL && errno == ENOMEM);
    }
    printf("none\n");
}

static NOINLINE void *site_calloc(size_t n, size_t size) {
    void *p = calloc(n, size);
    sink = p;
    return p;
}

/* calloc_overflow N: a product that wraps is refused; one that does not is all zero, also where
 * the block was used before. */
static void calloc_overflow(int argc, char **argv) {
    for (long i = 0; i < atol(argv[0]); i++) {
        errno = 0;
        CHECK(site_calloc(wraps, 2) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(site_calloc(2, wraps) == NULL && errno == ENOMEM);
        free(memset(site(600), 'c', 600));
        char *p = site_calloc(20, 30);
        CHECK(p && holds(p, 0, 600));
    }
    printf("refused\n");
}

/* errno_kept N: no call that succeeds changes errno. */
static void errno_kept(int argc, char **argv) {
    errno = 4321;
    for (long i = 0; i < atol(argv[0]); i++) {
        char *p = site(100), *q = site_calloc(3, 50);
        p = resize(p, 5000);
        p = reallocarray(p, 60, 100);
        void *a = NULL;
        CHECK(posix_memalign(&a, 128, 500) == 0);
        char *b = memalign(64, 500), *c = aligned_alloc(256, 512), *d = valloc(10);
        CHECK(malloc_usable_size(p) >= 6000);
        free(p), free(q), free(a), free(b), free(c), free(d), free(NULL);
        if (errno != 4321)
            break;
    }
    CHECK(errno == 4321);
    printf("kept\n");
}

static uint64_t random_state = 88172645463325252u;

static uint64_t random_next(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static void *one_of_all(uint64_t r) {
    size_t n = r % 5 == 0 ? r % 30000 : r % 300;
    void *p = NULL;
    switch (r >> 60) {
    case 0: return memalign((size_t)16 << (r >> 50 & 7), n);
    case 1: return posix_memalign(&p, (size_t)8 << (r >> 50 & 7), n) == 0 ? p : NULL;
    case 2: return aligned_alloc(64, n & ~(size_t)63);
    case 3: return reallocarray(NULL, n, 2);
    case 4: return valloc(n);
    case 5:
    case 6: return calloc(n, 3);
    default: return malloc(n);
    }
}

/* addresses N: every block lies where it would, has the size it would have, and the allocator's
 * own statistics are the same: the output is compared with that of a run without the agent. */
static void addresses(int argc, char **argv) {
    enum { LIVE = 500 };
    static char *live[LIVE];
    static char out[1 << 16];
    setvbuf(stdout, out, _IOFBF, sizeof out);
    char *first = malloc(16);
    uint64_t hash = 0;
    for (long i = 0; i < atol(argv[0]); i++) {
        uint64_t r = random_next();
        char **slot = &live[(r >> 20) % LIVE];
        if (*slot && r >> 40 & 1)
            *slot = realloc(*slot, 1 + r % 4000);
        else {
            free(*slot);
            *slot = one_of_all(r);
        }
        /* A large block is a mapping, whose place is the kernel's affair. */
        size_t usable = malloc_usable_size(*slot);
        if (usable < 100000)
            hash = hash * 31 + (uint64_t)(*slot - first) + usable * 7;
        if (i % 1000 == 0)
            printf("%zd %zu\n", *slot - first, usable);
    }
    struct mallinfo2 m = mallinfo2();
    printf("%llx, in use %zu, free %zu, chunks %zu\n", (unsigned long long)hash, m.uordblks,
           m.fordblks, m.ordblks);
}

/* Frees, and allocates, when the thread is all but gone. */
static pthread_key_t key;
static atomic_long destroyed;

static void destructor(void *p) {
    free(p);
    void *again = site(300);
    if (atomic_fetch_add(&destroyed, 1) % 4 == 3)
        free(again);
    else
        pthread_setspecific(key, again);
}

static void *with_destructor(void *arg) {
    pthread_setspecific(key, site(200));
    return site(50);
}

/* destructors N: thread-specific data whose destructors free and allocate, round after round. */
static void destructors(int argc, char **argv) {
    CHECK(pthread_key_create(&key, destructor) == 0);
    for (long i = 0; i < atol(argv[0]); i++) {
        pthread_t t;
        void *p = NULL;
        CHECK(pthread_create(&t, NULL, with_destructor, NULL) == 0 && pthread_join(t, &p) == 0);
        free(p);
        /* libc gives up after four rounds, with a block in the key. */
        CHECK(atomic_load(&destroyed) == 4 * (i + 1));
    }
    printf("destroyed\n");
}

static void *brief(void *arg) {
    void *p = site(100);
    for (int i = 0; i < 20; i++)
        free(site(1000));
    return p;
}

/* Counted page by page; what statm says may be wrong by dozens of pages for each processor. */
static long rss_pages(void) {
    long kib = -1;
    char line[256];
    FILE *f = fopen("/proc/self/smaps_rollup", "re");
    while (f && kib < 0 && fgets(line, sizeof line, f))
        sscanf(line, "Rss: %ld kB", &kib);
    CHECK(f && kib >= 0);
    fclose(f);
    return kib / 4;
}

static void brief_threads(long n) {
    for (long i = 0; i < n; i++) {
        pthread_t t;
        void *p = NULL;
        CHECK(pthread_create(&t, NULL, brief, NULL) == 0 && pthread_join(t, &p) == 0);
        free(p);
    }
}

/* lives N: threads come and go; none of them leaves memory behind. */
static void lives(int argc, char **argv) {
    long n = atol(argv[0]);
    brief_threads(n / 10);
    long before = rss_pages();
    brief_threads(n);
    number("grown_pages", (double)(rss_pages() - before));
    printf("lived\n");
}

static atomic_bool enough;
static atomic_int n_storming;

static void *storm_thread(void *arg) {
    uint64_t r = (uintptr_t)&r;
    void *live[64] = {0};
    for (long i = 0; !atomic_load_explicit(&enough, memory_order_relaxed); i++) {
        if (i % 1024 == 0)
            usleep(50); /* or whoever forks waits for a processor */
        if (i == 1024)
            n_storming++;
        r ^= r << 13, r ^= r >> 7, r ^= r << 17;
        void **slot = &live[r % 64];
        if (r >> 32 & 1)
            *slot = realloc(*slot, 1 + (r >> 40) % 2000);
        else {
            free(*slot);
            *slot = malloc((r >> 40) % 2000);
        }
    }
    for (int i = 0; i < 64; i++)
        free(live[i]);
    return NULL;
}

static pthread_t storm[16];

/* Returns when all of them are at it. */
static void storm_begin(int n) {
    for (int i = 0; i < n; i++)
        CHECK(pthread_create(&storm[i], NULL, storm_thread, NULL) == 0);
    while (n_storming < n)
        sleep_ms(1);
}

static void storm_end(int n) {
    atomic_store(&enough, true);
    for (int i = 0; i < n; i++)
        pthread_join(storm[i], NULL);
}

static void child_is_well(pid_t pid) {
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* forks THREADS N: fork in a storm of allocations; each child allocates and frees what it
 * inherited. */
static void forks(int argc, char **argv) {
    int threads = atoi(argv[0]);
    storm_begin(threads);
    for (long i = 0; i < atol(argv[1]); i++) {
        void *inherited = site(3000);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            free(inherited);
            for (int k = 0; k < 200; k++)
                free(resize(other_site((size_t)k * 50), 300));
            _exit(host_failed);
        }
        free(inherited);
        child_is_well(pid);
    }
    storm_end(threads);
    printf("forked\n");
}

/* heirs N: a child that ends as programs do writes of itself: what it allocated, not its parent's
 * blocks; those it may free. */
static void heirs(int argc, char **argv) {
    long n = atol(argv[0]);
    static void *inherited[10000];
    for (long i = 0; i < n; i++)
        inherited[i] = site(1000);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        for (long i = 0; i < n; i++)
            free(inherited[i]);
        for (long i = 0; i < n; i++)
            (void)other_site(500);
        number("child", getpid());
        exit(host_failed);
    }
    child_is_well(pid);
    number("parent", getpid());
    printf("inherited\n");
}

extern char **environ;

/* vforks THREADS N: children that share our memory allocate in it and become something else. */
static void vforks(int argc, char **argv) {
    int threads = atoi(argv[0]);
    char *child_argv[] = {(char *)"true", NULL};
    char *no_env[] = {(char *)"CPROF=off", NULL};
    storm_begin(threads);
    for (long i = 0; i < atol(argv[1]); i++) {
        pid_t pid = 0;
        if (i % 2)
            CHECK(posix_spawn(&pid, "/bin/true", NULL, NULL, child_argv, no_env) == 0);
        else if ((pid = vfork()) == 0) {
            free(site(5000));
            execve("/bin/true", child_argv, no_env);
            _exit(99);
        }
        child_is_well(pid);
    }
    storm_end(threads);
    printf("vforked\n");
}

/* dumps THREADS N: N requests for a dump into a storm of allocations, as fast as they are
 * served. */
static void dumps(int argc, char **argv) {
    int threads = atoi(argv[0]), n = atoi(argv[1]);
    storm_begin(threads);
    for (int i = 1; i <= n; i++)
        dump_until(".", i);
    storm_end(threads);
    printf("dumped\n");
}

/* burst THREADS N: N signals without waiting. */
static void burst(int argc, char **argv) {
    int threads = atoi(argv[0]);
    storm_begin(threads);
    for (int i = 0; i < atoi(argv[1]) && agent_here(); i++) {
        kill(getpid(), SIGUSR2);
        sleep_ms(1);
    }
    storm_end(threads);
    printf("signalled\n");
}

static void *load(const char *name, int flags) {
    char path[512];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 40);
    path[n] = '\0';
    strcpy(strrchr(path, '/') + 1, name);
    void *lib = dlopen(path, flags);
    if (!lib)
        dprintf(2, "%s\n", dlerror());
    CHECK(lib);
    return lib;
}

/* A function of a library that was loaded. */
static void *function(void *lib, const char *name) {
    void *f = dlsym(lib, name);
    CHECK(f);
    return f;
}

/* deepbind N: a library that binds to libc's malloc past us; blocks cross in both directions. What
 * it frees of ours, nobody tells us; that we must notice. */
static void deepbind(int argc, char **argv) {
    long n = atol(argv[0]);
    static void *given[10000];
    void *lib = load("heap_plugin.so", RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    void *(*make)(size_t) = (void *(*)(size_t))function(lib, "plugin_make");
    void (*take)(void *) = (void (*)(void *))function(lib, "plugin_take");
    for (long i = 0; i < n; i++)
        free(make(100));
    for (long i = 0; i < n; i++)
        given[i] = site(100);
    for (long i = 0; i < n; i++)
        take(given[i]);
    for (long i = 0; i < n; i++)
        given[i] = other_site(100);
    printf("crossed\n");
}

/* comes_and_goes N: a library that allocates is loaded, used and unloaded. */
static void comes_and_goes(int argc, char **argv) {
    for (long i = 0; i < atol(argv[0]); i++) {
        void *lib = load("heap_plugin.so", RTLD_NOW | RTLD_LOCAL);
        void *(*make)(size_t) = (void *(*)(size_t))function(lib, "plugin_make");
        void *p = make(700);
        CHECK(dlclose(lib) == 0);
        free(p);
    }
    printf("gone\n");
}

/* cxx N: a C program that loads a C++ library, and with it libstdc++, out of everybody's sight. */
static void cxx(int argc, char **argv) {
    void *lib = load("heap_cxx_plugin.so", RTLD_NOW | RTLD_LOCAL);
    long (*run)(long) = (long (*)(long))function(lib, "plugin_cxx");
    printf("%ld\n", run(atol(argv[0])));
}

/* lines N: getline, strdup, asprintf, qsort, fopen: libc's own allocations. */
static void lines(int argc, char **argv) {
    char *line = NULL, *text = NULL;
    size_t cap = 0, sum = 0;
    for (long i = 0; i < atol(argv[0]); i++) {
        FILE *f = fopen("/proc/self/limits", "re");
        CHECK(f != NULL);
        while (getline(&line, &cap, f) > 0)
            sum++;
        fclose(f);
        char *copy = strdup("some text");
        CHECK(asprintf(&text, "%s %ld", copy, i) > 0);
        free(copy), free(text);
    }
    free(line);
    printf("%zu\n", sum);
}

/* burst_at_exit N: atexit handlers and destructors allocate and free after our own end. */
static void *last[100];
static void at_the_end(void) {
    for (int i = 0; i < 100; i++) {
        free(last[i]);
        last[i] = resize(site(100), 10000);
    }
}
__attribute__((destructor)) static void after_the_end(void) {
    for (int i = 0; i < 100; i++)
        free(last[i]);
}
static void late(int argc, char **argv) {
    for (int i = 0; i < 100; i++)
        last[i] = other_site(1000);
    CHECK(atexit(at_the_end) == 0);
    printf("late\n");
}

int main(int argc, char **argv) {
    static const struct scenario scenarios[] = {
        {"realloc_fails", realloc_fails},
        {"realloc_zero", realloc_zero},
        {"aligned_fails", aligned_fails},
        {"calloc_overflow", calloc_overflow},
        {"errno_kept", errno_kept},
        {"addresses", addresses},
        {"destructors", destructors},
        {"lives", lives},
        {"forks", forks},
        {"heirs", heirs},
        {"vforks", vforks},
        {"dumps", dumps},
        {"burst", burst},
        {"deepbind", deepbind},
        {"comes_and_goes", comes_and_goes},
        {"cxx", cxx},
        {"lines", lines},
        {"late", late},
        {0},
    };
    return host_main(argc, argv, scenarios);
}
