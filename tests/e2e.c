/*
 * Output goes to files, not pipes: a daemon that keeps a descriptor open cannot hold the runner up,
 * and a program sees a regular file in both runs, so that its buffering is the same.
 */
#include "tests/e2e.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/tree.h"

enum { WORDS = 64, GO_ONE_BY_ONE = 6 };

/* Its folder, beside its output. */
#define RUN "/run"

unsigned e2e_timeout_s = 600;

static const char *agent(void) {
    const char *other = getenv("CPROF_TEST_AGENT");
    return other ? other : AGENT_PATH;
}

/* Cuts text into words in place; returns how many. */
static size_t words(char *text, char *list[WORDS]) {
    size_t n = 0;
    for (char *p = text; *p;) {
        while (*p == ' ')
            p++;
        if (!*p)
            break;
        cr_assert(n < WORDS - 1, "too many words");
        char *to = list[n++] = p;
        bool quoted = false;
        for (; *p && (quoted || *p != ' '); p++)
            if (*p == '\'')
                quoted = !quoted;
            else
                *to++ = *p;
        bool last = !*p;
        *to = '\0';
        if (last)
            break;
        p++;
    }
    list[n] = NULL;
    return n;
}

static char *slurp(const char *path) {
    FILE *f = fopen(path, "re");
    if (!f)
        return NULL;
    char *text = NULL;
    size_t n = 0;
    if (getdelim(&text, &n, '\0', f) < 0) {
        free(text);
        text = strdup("");
    }
    fclose(f);
    return text;
}

char *e2e_shell(int *ret_status, const char *format, ...) {
    char command[16384];
    va_list ap;
    va_start(ap, format);
    int len = vsnprintf(command, sizeof command, format, ap);
    va_end(ap);
    cr_assert(len < (int)sizeof command, "command too long");
    FILE *f = popen(command, "re");
    cr_assert(f, "popen: %s", strerror(errno));
    char *text = NULL;
    size_t n = 0;
    if (getdelim(&text, &n, '\0', f) < 0) {
        free(text);
        text = strdup("");
    }
    int status = pclose(f);
    if (ret_status)
        *ret_status = status;
    return text;
}

void e2e_need(bool there, const char *what) {
    if (there)
        return;
    cr_assert(!getenv("CI"), "%s is missing", what);
    cr_skip_test("%s is missing", what);
}

/* In the child, between fork and exec. */
static void start(struct e2e *r, bool preload, char *env[WORDS], size_t n_env, char *argv[WORDS]) {
    char path[512];
    setpgid(0, 0);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    snprintf(path, sizeof path, "%s.out", r->dir);
    int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0666);
    snprintf(path, sizeof path, "%s.err", r->dir);
    int err = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0666);
    int in = open("/dev/null", O_RDONLY);
    dup2(in, 0), dup2(out, 1), dup2(err, 2);
    for (int fd = 3; fd < 64; fd++)
        close(fd);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int sig = 1; sig < 32; sig++)
        signal(sig, SIG_DFL);
    static const char *const kept[] = {"PATH",      "HOME",        "TMPDIR",    "GOCACHE",
                                       "JAVA_HOME", "RUSTUP_HOME", "CARGO_HOME"};
    char kept_text[sizeof kept / sizeof *kept][4200], preload_text[600];
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (getenv(kept[i]) && n_env < WORDS - 4) {
            snprintf(kept_text[i], sizeof kept_text[i], "%s=%s", kept[i], getenv(kept[i]));
            env[n_env++] = kept_text[i];
        }
    env[n_env++] = (char *)"LC_ALL=C";
    if (preload) {
        snprintf(preload_text, sizeof preload_text, "LD_PRELOAD=%s", agent());
        env[n_env++] = preload_text;
        env[n_env++] = (char *)"E2E_AGENT=1";
    }
    env[n_env] = NULL;
    if (strchr(argv[0], '/'))
        snprintf(path, sizeof path, "%s", argv[0]);
    else
        snprintf(path, sizeof path, "%s/%s", HOSTS_PATH, argv[0]);
    if (chdir(r->dir) == 0)
        execve(path, argv, env);
    dprintf(2, "cannot start %s: %s\n", path, strerror(errno));
    _exit(127);
}

/* Every process below us that is still there, as "PID PID...". */
static char *children(void) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    char *text = slurp(path);
    return text ? text : strdup("");
}

static void hung(const struct e2e *r, const char *command) {
    char *list = children();
    char *stacks = strdup("");
    for (char *p = list, *end; strtol(p, &end, 10); p = end) {
        int pid = (int)strtol(p, NULL, 10);
        free(stacks);
        stacks = e2e_shell(
            NULL, "timeout 30 gdb -p %d -batch -ex 'thread apply all bt' 2>&1 | tail -n 200", pid);
        kill(-pid, SIGKILL);
        kill(pid, SIGKILL);
    }
    while (waitpid(-1, NULL, 0) > 0)
        ;
    char path[256];
    snprintf(path, sizeof path, "%s.err", r->dir);
    char *err = slurp(path);
    cr_assert_fail("'%s' hung (%s)\n%s\n%s", command, r->dir, err ? err : "", stacks);
}

/* Waits for the program and all it left behind. */
static void wait_all(struct e2e *r, pid_t pid, const char *command) {
    struct timespec now, end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += e2e_timeout_s;
    for (;;) {
        int status;
        pid_t gone = waitpid(-1, &status, WNOHANG);
        if (gone < 0 && errno == ECHILD)
            return;
        if (gone == pid)
            r->status = status;
        if (gone > 0)
            continue;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > end.tv_sec)
            hung(r, command);
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    }
}

/* Moves the agent's own lines out of err into log. */
static void split_log(struct e2e *r) {
    r->log = calloc(1, strlen(r->err) + 2);
    char *to = r->err, *log = r->log;
    for (char *p = r->err; *p;) {
        size_t n = strcspn(p, "\n");
        n += p[n] == '\n';
        if (strncmp(p, "cprof: ", 7) == 0) {
            memcpy(log, p, n);
            log += n;
        } else {
            memmove(to, p, n);
            to += n;
        }
        p += n;
    }
    *to = '\0';
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_profile(struct e2e *r, const char *path) {
    r->profiles = realloc(r->profiles, (r->n_profiles + 1) * sizeof *r->profiles);
    r->profiles[r->n_profiles++] = strdup(path);
}

static struct e2e *walked;
static char walked_stray[512];

static int walk_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    const char *name = path + at->base;
    if (type != FTW_F)
        return 0;
    if (fnmatch("*.pb.gz", name, 0) == 0)
        add_profile(walked, path);
    else if (strstr(name, "cprof-") && strstr(name, "pb.gz"))
        snprintf(walked_stray, sizeof walked_stray, "%s", path);
    return 0;
}

static void find_profiles(struct e2e *r) {
    walked = r;
    walked_stray[0] = '\0';
    nftw(r->dir, walk_one, 16, FTW_PHYS);
    qsort(r->profiles, r->n_profiles, sizeof *r->profiles, by_name);
}

/* All matching files as one line of shell words. */
static char *listed(const struct e2e *r, const char *pattern) {
    size_t n = 1, count = 0;
    for (size_t i = 0; i < r->n_profiles; i++)
        n += strlen(r->profiles[i]) + 3;
    char *line = calloc(1, n);
    for (size_t i = 0; i < r->n_profiles; i++) {
        if (fnmatch(pattern, strrchr(r->profiles[i], '/') + 1, 0) != 0)
            continue;
        strcat(strcat(strcat(line, "'"), r->profiles[i]), "' ");
        count++;
    }
    cr_assert(count, "no profile matches %s in %s (%zu there)\n%s%s", pattern, r->dir,
              r->n_profiles, r->log, r->err);
    return line;
}

/* Many files in one call for each kind, because go merges files of one kind only; it says "of" when
 * it had to leave one out. */
static void check_merged(const struct e2e *part) {
    static const char *const by_kind[] = {"*-cpu-?.pb.gz", "*-heap-?.pb.gz", "*-mutex-?.pb.gz",
                                          "*-block-?.pb.gz"};
    for (unsigned i = 0; i < sizeof by_kind / sizeof *by_kind; i++) {
        if (!e2e_count(part, by_kind[i]))
            continue;
        int status;
        char *files = listed(part, by_kind[i]);
        char *said = e2e_shell(&status, "go tool pprof -raw %s 2>&1 >/dev/null", files);
        cr_assert(status == 0 && !strstr(said, " out of "), "go tool pprof -raw:\n%s", said);
        free(said);
        free(files);
    }
}

/* Issue: every file passes the strict reader and go tool pprof -raw. */
static void check_profiles(const struct e2e *r) {
    cr_assert(!walked_stray[0], "left behind: %s", walked_stray);
    if (!r->n_profiles)
        return;
    for (size_t i = 0; i < r->n_profiles; i += 40) {
        struct e2e part = *r;
        part.profiles += i;
        part.n_profiles = r->n_profiles - i < 40 ? r->n_profiles - i : 40;
        char *files = listed(&part, "*");
        int status;
        char *said = e2e_shell(&status, "python3 '%s/strict_pprof.py' %s 2>&1", TESTS_PATH, files);
        cr_assert(status == 0, "strict reader:\n%s", said);
        free(said);
        if (i == 0 && part.n_profiles > GO_ONE_BY_ONE)
            check_merged(&part);
        for (size_t k = 0; k < part.n_profiles && part.n_profiles <= GO_ONE_BY_ONE; k++) {
            said = e2e_shell(&status, "go tool pprof -raw '%s' 2>&1", part.profiles[k]);
            cr_assert(status == 0 && strstr(said, "PeriodType:"), "go tool pprof -raw %s:\n%s",
                      part.profiles[k], said);
            free(said);
        }
        free(files);
    }
}

/* CPU time of every process below us that is gone. */
static double children_ns(void) {
    struct rusage u;
    getrusage(RUSAGE_CHILDREN, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e9 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e3;
}

static struct e2e run(bool preload, const char *env_text, const char *command) {
    struct e2e r = {.status = -1};
    const char *tmp = getenv("TMPDIR");
    /* One folder for all that a run makes: who tidies up a temporary folder takes the files in it
     * first. */
    snprintf(r.dir, sizeof r.dir - sizeof RUN, "%s/cprof-e2e-XXXXXX", tmp ? tmp : "/tmp");
    cr_assert(mkdtemp(r.dir) && chmod(r.dir, 0755) == 0, "%s: %s", r.dir, strerror(errno));
    strcat(r.dir, RUN);
    cr_assert(mkdir(r.dir, 0755) == 0 && chmod(r.dir, 0755) == 0, "%s: %s", r.dir, strerror(errno));
    cr_assert(!preload || access(agent(), R_OK) == 0, "no agent at %s", agent());
    char *env[WORDS], *argv[WORDS], *env_copy = strdup(env_text), *argv_copy = strdup(command);
    size_t n_env = words(env_copy, env);
    words(argv_copy, argv);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    fflush(NULL);
    double before_ns = children_ns();
    pid_t pid = fork();
    cr_assert(pid >= 0, "fork: %s", strerror(errno));
    if (pid == 0)
        start(&r, preload, env, n_env, argv);
    wait_all(&r, pid, command);
    r.cpu_ns = children_ns() - before_ns;
    free(env_copy);
    free(argv_copy);
    char path[256];
    snprintf(path, sizeof path, "%s.out", r.dir);
    r.out = slurp(path);
    snprintf(path, sizeof path, "%s.err", r.dir);
    r.err = slurp(path);
    cr_assert(r.out && r.err, "output of '%s' is gone: %s: %s", command, path, strerror(errno));
    split_log(&r);
    find_profiles(&r);
    return r;
}

struct e2e e2e_plain(const char *env, const char *command) {
    return run(false, env, command);
}

struct e2e e2e_run(const char *env, const char *command) {
    struct e2e r = run(true, env, command);
    check_profiles(&r);
    return r;
}

static struct e2e run_driver(bool preload, const char *env, const char *script) {
    char full_env[1024], command[512];
    int n = snprintf(full_env, sizeof full_env, "PRELOAD=%s %s", preload ? agent() : "", env);
    n = n < (int)sizeof full_env
            ? snprintf(command, sizeof command, "/bin/sh %s/programs/%s", TESTS_PATH, script)
            : n;
    cr_assert(n < (int)sizeof command);
    return run(false, full_env, command);
}

/* One program twice; driven: through a script that preloads by itself. */
static struct e2e same(const char *env, const char *command, int status, bool driven) {
    struct e2e plain = driven ? run_driver(false, env, command) : e2e_plain(env, command);
    cr_assert(plain.status == status, "'%s' without the agent: status %#x\n%s%s", command,
              plain.status, plain.out, plain.err);
    cr_assert(plain.n_profiles == 0);
    struct e2e r = driven ? run_driver(true, env, command) : run(true, env, command);
    cr_assert(r.status == status, "'%s' with the agent: status %#x, without %#x (%s)\n%s%s%s",
              command, r.status, status, r.dir, r.out, r.err, r.log);
    cr_assert_str_eq(r.out, plain.out, "output of '%s' differs\nplain: %s\nagent: %s", command,
                     plain.out, r.out);
    cr_assert_str_eq(r.err, plain.err, "error output of '%s' differs\nplain: %s\nagent: %s",
                     command, plain.err, r.err);
    check_profiles(&r);
    e2e_done(&plain);
    return r;
}

struct e2e e2e_same_status(const char *env, const char *command, int status) {
    struct e2e r = same(env, command, status, false);
    cr_assert_str_empty(r.log, "'%s': the agent said: %s", command, r.log);
    return r;
}

struct e2e e2e_same_driven(const char *env, const char *script) {
    return same(env, script, 0, true);
}

struct e2e e2e_same(const char *env, const char *command) {
    return e2e_same_status(env, command, 0);
}

struct e2e e2e_same_logged(const char *env, const char *command, const char *line) {
    struct e2e r = same(env, command, 0, false);
    char *end = strchr(r.log, '\n');
    cr_assert(end && !end[1] && strstr(r.log, line), "'%s': not one line with '%s': %s", command,
              line, r.log);
    return r;
}

void e2e_done(struct e2e *r) {
    if (!getenv("CPROF_TEST_KEEP")) {
        r->dir[strlen(r->dir) - strlen(RUN)] = '\0';
        tree_remove(r->dir);
    }
    for (size_t i = 0; i < r->n_profiles; i++)
        free(r->profiles[i]);
    free(r->profiles);
    free(r->out);
    free(r->err);
    free(r->log);
    *r = (struct e2e){0};
}

size_t e2e_count(const struct e2e *r, const char *pattern) {
    size_t n = 0;
    for (size_t i = 0; i < r->n_profiles; i++)
        n += fnmatch(pattern, strrchr(r->profiles[i], '/') + 1, 0) == 0;
    return n;
}

size_t e2e_certain(const struct e2e *r, const char *pattern) {
    size_t n = 0;
    for (size_t i = 0; i < r->n_profiles; i++) {
        const char *name = strrchr(r->profiles[i], '/') + 1;
        n += fnmatch(pattern, name, 0) == 0 &&
             (fnmatch("*-cpu-?.pb.gz", name, 0) == 0 || fnmatch("*-cpu-??.pb.gz", name, 0) == 0);
    }
    return n;
}

const char *e2e_profile(const struct e2e *r, const char *pattern) {
    cr_assert(e2e_count(r, pattern) == 1, "%zu profiles match %s, %zu in all (%s)\n%s",
              e2e_count(r, pattern), pattern, r->n_profiles, r->dir, r->log);
    for (size_t i = 0; i < r->n_profiles; i++)
        if (fnmatch(pattern, strrchr(r->profiles[i], '/') + 1, 0) == 0)
            return r->profiles[i];
    return NULL;
}

char *e2e_text(const struct e2e *r, const char *pattern, const char *question) {
    char *files = listed(r, pattern);
    int status;
    char *said =
        e2e_shell(&status, "python3 '%s/strict_pprof.py' %s %s", TESTS_PATH, question, files);
    cr_assert(status == 0, "%s: %s", question, said);
    free(files);
    return said;
}

char *e2e_pprof_top(const struct e2e *r, const char *pattern) {
    char *files = listed(r, pattern);
    char *said = e2e_shell(NULL, "go tool pprof -top -cum -nodecount=60 %s 2>&1", files);
    free(files);
    return said;
}

double e2e_ask(const struct e2e *r, const char *pattern, const char *question) {
    char *said = e2e_text(r, pattern, question);
    double v = strtod(said, NULL);
    free(said);
    return v;
}

char *e2e_file(const struct e2e *r, const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", r->dir, name);
    return slurp(path);
}

double e2e_number(const struct e2e *r, const char *name) {
    char *text = e2e_file(r, "numbers");
    cr_assert(text, "the host left no numbers in %s\n%s", r->dir, r->err);
    size_t n = strlen(name);
    double v = -1;
    bool found = false;
    for (char *p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
        if (strncmp(p, name, n) == 0 && p[n] == ' ') {
            v = strtod(p + n, NULL);
            found = true;
        }
    cr_assert(found, "no number '%s' in:\n%s", name, text);
    free(text);
    return v;
}
