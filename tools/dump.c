/*
 * A signal sent to a process that does not expect it kills the process (or, sent to a JVM, aborts
 * it), so everything that can be known is looked up first and the signal goes out last.
 */
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/options.h"
#include "tools/cmd.h"
#include "tools/process.h"

const char cmd_dump_help[] =
    "usage: cprof dump [-s SIGNAL] [-t SECONDS] [-f] PID\n"
    "\n"
    "Makes a process that runs with libcprof.so write its profiles now, and prints the names of "
    "the new\n"
    "files. Before anything is sent, it checks that the profiler is there, that something catches "
    "the\n"
    "signal, and that the program does not use the signal for itself.\n"
    "\n"
    "  -s, --signal SIGNAL   the dump signal [CPROF_SIGNAL of the process, or USR2]\n"
    "  -t, --timeout SECONDS how long to wait for the files [10]\n"
    "  -f, --force           send it even to a program known to use this signal itself\n"
    "  -h, --help            this page\n"
    "\n"
    "examples:\n"
    "  cprof dump 4711\n"
    "  cprof top $(cprof dump $(pidof -s myserver) | grep -e -cpu-)\n"
    "  cprof dump -s RTMIN+3 4711        started with CPROF_SIGNAL=RTMIN+3\n";

struct asked {
    const char *signal; /* NULL: what the process was told */
    double timeout_s;
    bool force;
};

/* Programs whose own meaning of SIGUSR2 is documented. */
static const char *const users_of_usr2[][2] = {
    {"nginx", "upgrades its binary"},
    {"haproxy", "reloads its configuration"},
    {"php-fpm", "reloads its configuration"},
    {"supervisord", "reopens its logs"},
    {"gunicorn", "upgrades its binary"},
    {"unicorn", "upgrades its binary"},
    {"puma", "restarts"},
};

static const char *own_use(const struct process *p) {
    const char *base = strrchr(p->exe, '/');
    base = base ? base + 1 : p->exe;
    for (size_t i = 0; i < sizeof users_of_usr2 / sizeof *users_of_usr2; i++)
        if (strncmp(base, users_of_usr2[i][0], strlen(users_of_usr2[i][0])) == 0)
            return users_of_usr2[i][1];
    return NULL;
}

/* The number, 0 for none, -1 after a message. */
static int choose_signal(const struct asked *a, const struct process *p, bool *ret_insisted) {
    char *told = a->signal ? strdup(a->signal) : process_variable(p->pid, "CPROF_SIGNAL");
    *ret_insisted = told != NULL;
    int number = SIGUSR2;
    if (told && strcmp(told, "none") == 0)
        number = 0;
    else if (told) {
        number = option_signal_number(told, strlen(told));
        if (number <= 0 && a->signal) {
            command_misused("dump", "-s %s: no such signal", told);
            number = -1;
        } else if (number <= 0) {
            number = SIGUSR2; /* the profiler said so on its log and kept its default */
            *ret_insisted = false;
        }
    }
    free(told);
    return number;
}

static int check(const struct asked *a, const struct process *p, int number, bool insisted) {
    const char *name = strsignal(number);
    uint64_t bit = (uint64_t)1 << (number - 1);
    int pid = (int)p->pid;
    if (p->unreadable)
        return command_failed("dump", "process %d belongs to another user; run this as that user",
                              pid);
    if (!p->library[0])
        return command_failed(
            "dump",
            "libcprof.so is not in process %d (%s); it must be there from the start: "
            "cprof run PROGRAM",
            pid, p->exe);
    if (number == SIGUSR2 && p->has_jvm && !a->force)
        return command_failed("dump",
                              "process %d is a Java machine, which SIGUSR2 aborts; start it with "
                              "CPROF_EVERY=1m, or with CPROF_SIGNAL naming another signal",
                              pid);
    if (!(p->caught & bit))
        return command_failed(
            "dump",
            "nothing in process %d catches signal %d (%s): it would %s; start it with "
            "CPROF_SIGNAL naming a free signal, or with CPROF_EVERY=1m",
            pid, number, name, p->ignored & bit ? "be ignored" : "end the process");
    const char *use = number == SIGUSR2 && !insisted && !a->force ? own_use(p) : NULL;
    if (use)
        return command_failed(
            "dump",
            "process %d (%s) %s on SIGUSR2; start it with CPROF_SIGNAL naming another "
            "signal, or say -f if it does not",
            pid, p->exe, use);
    if (p->blocked & bit)
        command_note("dump",
                     "every thread of process %d blocks signal %d now: it waits until one "
                     "does not",
                     pid, number);
    return CMD_OK;
}

/* Where files appear and what they are called. */
struct place {
    char folder[8192];
    char glob[1024];
};

/* Turns the pattern's last part into a glob: what we cannot know becomes a star. */
static void place_glob(struct place *at, const char *pattern, pid_t pid) {
    size_t n = 0;
    for (const char *c = pattern; *c && n + 16 < sizeof at->glob; c++) {
        if (strchr("*?[\\", *c)) {
            at->glob[n++] = '\\';
            at->glob[n++] = *c;
        } else if (*c != '%' || !c[1]) {
            at->glob[n++] = *c;
        } else if (*++c == '%') {
            at->glob[n++] = '%';
        } else if (*c == 'p') {
            n += (size_t)snprintf(at->glob + n, 16, "%d", (int)pid);
        } else {
            at->glob[n++] = '*';
        }
    }
    at->glob[n] = '\0';
}

/* False when the folder itself holds a %, which only the process can expand. */
static bool place_of(struct place *ret_place, const struct process *p) {
    char *pattern = process_variable(p->pid, "CPROF_OUT");
    char start[4096];
    process_folder(p->pid, start);
    const char *all = pattern && *pattern ? pattern : "cprof-%e-%p-%k-%n.pb.gz";
    const char *slash = strrchr(all, '/');
    int dir = slash ? (int)(slash - all) + 1 : 0;
    snprintf(ret_place->folder, sizeof ret_place->folder, "%s%s%.*s", *all == '/' ? "" : start,
             *all == '/' ? "" : "/", dir, all);
    place_glob(ret_place, slash ? slash + 1 : all, p->inner_pid);
    bool known = !memchr(all, '%', (size_t)dir);
    free(pattern);
    return known;
}

/* A process in a container or chroot has another root: look through its own. */
static void open_root(const struct process *p, struct place *at) {
    char link[64], root[4096], through[8192];
    snprintf(link, sizeof link, "/proc/%d/root", (int)p->pid);
    ssize_t n = readlink(link, root, sizeof root - 1);
    if (n == 1 && root[0] == '/' && access(at->folder, R_OK) == 0)
        return;
    if ((size_t)snprintf(through, sizeof through, "%s%s", link, at->folder) < sizeof through &&
        access(through, R_OK) == 0)
        memcpy(at->folder, through, sizeof through);
}

struct names {
    char **list;
    size_t n;
};

static bool names_hold(const struct names *s, const char *name) {
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->list[i], name) == 0)
            return true;
    return false;
}

static void names_add(struct names *s, const char *name) {
    char **more = realloc(s->list, (s->n + 1) * sizeof *more);
    if (!more)
        return;
    s->list = more;
    s->list[s->n] = strdup(name);
    s->n += s->list[s->n] != NULL;
}

static void names_done(struct names *s) {
    for (size_t i = 0; i < s->n; i++)
        free(s->list[i]);
    free(s->list);
}

/* Adds what matches and is not in before. Files under way begin with a dot. */
static void names_read(struct names *s, const struct place *at, const struct names *before) {
    DIR *d = opendir(at->folder);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));)
        if (fnmatch(at->glob, e->d_name, FNM_PERIOD) == 0 && !names_hold(s, e->d_name) &&
            !(before && names_hold(before, e->d_name)))
            names_add(s, e->d_name);
    closedir(d);
}

static double now_s(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* One file per profile type, soon after each other: done when none came for a moment. */
static void wait_for(struct names *fresh, const struct place *at, const struct names *before,
                     pid_t pid, double timeout_s) {
    double start = now_s(), last = start;
    for (double t = start; t - start < timeout_s; t = now_s()) {
        size_t n = fresh->n;
        names_read(fresh, at, before);
        if (fresh->n > n)
            last = t;
        if (fresh->n && t - last > 0.3)
            return;
        if (kill(pid, 0) < 0 && errno == ESRCH)
            return;
        nanosleep(&(struct timespec){0, 20000000}, NULL);
    }
}

static int report(const struct names *fresh, const struct place *at, const struct process *p,
                  double timeout_s) {
    for (size_t i = 0; i < fresh->n; i++)
        printf("%s%s%s\n", at->folder, at->folder[strlen(at->folder) - 1] == '/' ? "" : "/",
               fresh->list[i]);
    if (fresh->n)
        return CMD_OK;
    if (kill(p->pid, 0) < 0 && errno == ESRCH)
        return command_failed(
            "dump", "process %d ended meanwhile; look for files written at its end", (int)p->pid);
    return command_failed(
        "dump",
        "no new file in %s within %g s. Perhaps the folder is not writable for process "
        "%d, it has moved to another folder since it started, or the program took "
        "the signal over: its standard error says which",
        at->folder, timeout_s, (int)p->pid);
}

static int dump(const struct asked *a, const struct process *p) {
    bool insisted;
    int number = choose_signal(a, p, &insisted);
    if (number < 0)
        return CMD_USAGE;
    if (number == 0)
        return command_failed("dump", "process %d was started with CPROF_SIGNAL=none", (int)p->pid);
    int r = check(a, p, number, insisted);
    if (r != CMD_OK)
        return r;
    struct place at;
    bool known = place_of(&at, p);
    open_root(p, &at);
    struct names before = {0}, fresh = {0};
    names_read(&before, &at, NULL);
    if (kill(p->pid, number) < 0) {
        r = command_failed("dump", "process %d: %s", (int)p->pid, strerror(errno));
    } else if (!known) {
        command_note("dump",
                     "signal %d is sent; the folder in CPROF_OUT holds a %%, so the files are "
                     "for you to find",
                     number);
    } else {
        wait_for(&fresh, &at, &before, p->pid, a->timeout_s);
        r = report(&fresh, &at, p, a->timeout_s);
    }
    names_done(&before);
    names_done(&fresh);
    return r;
}

int cmd_dump(int argc, char **argv) {
    static const struct option options[] = {{"signal", required_argument, 0, 's'},
                                            {"timeout", required_argument, 0, 't'},
                                            {"force", no_argument, 0, 'f'},
                                            {"help", no_argument, 0, 'h'},
                                            {0}};
    struct asked a = {.timeout_s = 10};
    for (int c; (c = getopt_long(argc, argv, "s:t:fh", options, NULL)) != -1;) {
        char *end;
        switch (c) {
        case 's': a.signal = optarg; break;
        case 't':
            a.timeout_s = strtod(optarg, &end);
            if (end == optarg || *end || !(a.timeout_s > 0))
                return command_misused("dump", "-t %s: not a number of seconds", optarg);
            break;
        case 'f': a.force = true; break;
        case 'h': fputs(cmd_dump_help, stdout); return CMD_OK;
        default: return command_misused("dump", "wrong option");
        }
    }
    if (argc - optind != 1)
        return command_misused("dump", "which process? Exactly one PID is needed");
    struct process p;
    pid_t pid = process_number(argv[optind]);
    if (pid < 0)
        return command_misused("dump", "'%s' is not a process number ('cprof ps' lists them)",
                               argv[optind]);
    if (process_read(&p, pid) < 0)
        return command_failed("dump",
                              "there is no process %d ('cprof ps' lists those with the "
                              "profiler)",
                              (int)pid);
    return dump(&a, &p);
}
