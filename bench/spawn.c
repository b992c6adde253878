/*
 * Runs one program under several environments in turn (A B C A B C ..., the first one rotating) and
 * says what each costs, so that a machine that slows down slows all of them down.
 *
 *     spawn [-n RUNS] [-c CPU] [-d FOLDER] NAME[:VARIABLE=VALUE[;...]]... -- PROGRAM [ARG...]
 *
 * One line per environment:
 *     NAME wall_min wall_median cpu_min cpu_median minor_faults max_rss_kb value_min value_median
 *         second_median third_median value_ratio second_ratio second_min second_max
 * Times in microseconds; cpu is user + system of the program and of every child it waited for, from
 * wait4; faults and memory are medians; the value is the number that the program prints first,
 * second and third are those behind it; 0 if it prints none. A ratio is the median of each run's to
 * that of the first environment in the same turn, for a machine that changes its speed between the
 * turns.
 */
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { MAX_VARIANTS = 8, MAX_ENV = 512, MAX_RUNS = 1000 };
enum { WALL, CPU, FAULTS, RSS, VALUE, SECOND, THIRD, MEASURES };

struct variant {
    const char *name;
    char *env[MAX_ENV];
    double *runs[MEASURES];
};

struct bench {
    struct variant variants[MAX_VARIANTS];
    int n_variants, n_runs;
    const char *folder;
    char **argv;
};

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double time_us(struct timeval t) { return (double)t.tv_sec * 1e6 + (double)t.tv_usec; }

/* Reads all that the program prints: one that fills its pipe would hang. */
static void read_values(int fd, double *ret, int n_values) {
    char buf[256], rest[4096];
    size_t n = 0;
    ssize_t got;
    while ((got = read(fd, n < sizeof buf - 1 ? buf + n : rest,
                       n < sizeof buf - 1 ? sizeof buf - 1 - n : sizeof rest)) > 0)
        if (n < sizeof buf - 1)
            n += (size_t)got;
    buf[n] = '\0';
    char *at = buf;
    for (int i = 0; i < n_values; i++)
        ret[i] = strtod(at, &at);
}

static void run_once(const struct bench *b, struct variant *v, int run) {
    posix_spawn_file_actions_t actions;
    int out[2], status;
    pid_t pid;
    struct rusage ru;
    if (pipe2(out, O_CLOEXEC) < 0)
        die("pipe");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    if (b->folder)
        posix_spawn_file_actions_addchdir_np(&actions, b->folder);
    double begin = now_us();
    if (posix_spawnp(&pid, b->argv[0], &actions, NULL, b->argv, v->env) != 0)
        die(b->argv[0]);
    close(out[1]);
    double values[MEASURES - VALUE];
    read_values(out[0], values, MEASURES - VALUE);
    if (wait4(pid, &status, 0, &ru) < 0)
        die("wait4");
    double wall = now_us() - begin;
    close(out[0]);
    posix_spawn_file_actions_destroy(&actions);
    if (status != 0) {
        fprintf(stderr, "spawn: %s under %s ended with status %#x\n", b->argv[0], v->name,
                (unsigned)status);
        exit(1);
    }
    if (run < 0)
        return;
    v->runs[WALL][run] = wall;
    v->runs[CPU][run] = time_us(ru.ru_utime) + time_us(ru.ru_stime);
    v->runs[FAULTS][run] = (double)ru.ru_minflt;
    v->runs[RSS][run] = (double)ru.ru_maxrss;
    for (int i = VALUE; i < MEASURES; i++)
        v->runs[i][run] = values[i - VALUE];
}

static void variant_add(struct bench *b, char *words) {
    struct variant *v = &b->variants[b->n_variants++];
    int n = 0;
    v->name = strsep(&words, ":");
    for (char *pair; (pair = strsep(&words, ";")) && n < MAX_ENV - 1;)
        if (*pair)
            v->env[n++] = pair;
    for (char **e = environ; *e && n < MAX_ENV - 1; e++)
        if (strncmp(*e, "LD_PRELOAD=", 11) != 0 && strncmp(*e, "CPROF", 5) != 0)
            v->env[n++] = *e;
    for (int i = 0; i < MEASURES; i++)
        if (!(v->runs[i] = calloc((size_t)b->n_runs, sizeof(double))))
            die("calloc");
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double ratio(const struct bench *b, const struct variant *v, int measure) {
    double r[MAX_RUNS];
    for (int i = 0; i < b->n_runs; i++)
        r[i] = v->runs[measure][i] / b->variants[0].runs[measure][i];
    qsort(r, (size_t)b->n_runs, sizeof(double), ascending);
    return r[b->n_runs / 2];
}

static void print(const struct bench *b, const struct variant *v, double value, double second) {
    for (int i = 0; i < MEASURES; i++)
        qsort(v->runs[i], (size_t)b->n_runs, sizeof(double), ascending);
    int mid = b->n_runs / 2;
    printf("%s %.1f %.1f %.1f %.1f %.0f %.0f %.4f %.4f %.4f %.4f %.4f %.4f %.4f %.4f\n", v->name,
           v->runs[WALL][0], v->runs[WALL][mid], v->runs[CPU][0], v->runs[CPU][mid],
           v->runs[FAULTS][mid], v->runs[RSS][mid], v->runs[VALUE][0], v->runs[VALUE][mid],
           v->runs[SECOND][mid], v->runs[THIRD][mid], value, second, v->runs[SECOND][0],
           v->runs[SECOND][b->n_runs - 1]);
}

static void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        die("sched_setaffinity");
}

int main(int argc, char **argv) {
    static struct bench b = {.n_runs = 10};
    int c;
    while ((c = getopt(argc, argv, "+n:c:d:")) != -1)
        if (c == 'n')
            b.n_runs = atoi(optarg);
        else if (c == 'c')
            pin(atoi(optarg));
        else if (c == 'd')
            b.folder = optarg;
        else
            return 2;
    for (; optind < argc && strcmp(argv[optind], "--") != 0 && b.n_variants < MAX_VARIANTS;
         optind++)
        variant_add(&b, argv[optind]);
    b.argv = &argv[optind];
    if (b.n_runs < 1 || b.n_runs > MAX_RUNS || b.n_variants == 0 || !b.argv[0] || !b.argv[1]) {
        fputs("usage: spawn [-n RUNS] [-c CPU] [-d FOLDER] NAME[:VARIABLE=VALUE[;...]]... -- "
              "PROGRAM [ARG...]\n",
              stderr);
        return 2;
    }
    b.argv++;
    for (int run = -1; run < b.n_runs; run++) /* run -1 warms up and is not counted */
        for (int i = 0; i < b.n_variants; i++)
            run_once(&b, &b.variants[(i + run + 1) % b.n_variants], run);
    double ratios[MAX_VARIANTS][2]; /* before print() puts the runs in order */
    for (int i = 0; i < b.n_variants; i++) {
        ratios[i][0] = ratio(&b, &b.variants[i], VALUE);
        ratios[i][1] = ratio(&b, &b.variants[i], SECOND);
    }
    for (int i = 0; i < b.n_variants; i++)
        print(&b, &b.variants[i], ratios[i][0], ratios[i][1]);
    return 0;
}
