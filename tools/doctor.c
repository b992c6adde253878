/* What can go wrong: one line per fact, each with a verdict, from the machine, a program, a
 * process, a file.
 */
#include <dlfcn.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "proto/pprof.h"
#include "tools/binary.h"
#include "tools/cmd.h"
#include "tools/file.h"
#include "tools/library.h"
#include "tools/process.h"
#include "tools/style.h"

const char cmd_doctor_help[] = "usage: cprof doctor [PID | PROGRAM | PROFILE]...\n"
                               "\n"
                               "Without argument: what this machine allows. With a process, a "
                               "program or a profile file: what is\n"
                               "special about it. Each line says 'ok', 'note' (worth knowing) or "
                               "'BAD' (there will be no profile, or a\n"
                               "wrong one). Nothing is changed and nothing is sent.\n"
                               "\n"
                               "  -h, --help  this page\n"
                               "\n"
                               "exit status: 0, or 1 when a line says BAD.\n"
                               "\n"
                               "examples:\n"
                               "  cprof doctor\n"
                               "  cprof doctor ./myserver\n"
                               "  cprof doctor $(pidof -s myserver)\n"
                               "  cprof doctor cprof-myserver-4711-cpu-1.pb.gz\n";

enum verdict { OK, NOTE, BAD };

/* True when a line said BAD. */
static bool found_bad;

static void line(enum verdict v, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void line(enum verdict v, const char *what, const char *format, ...) {
    static const char *const words[] = {"ok", "note", "BAD"};
    va_list args;
    found_bad |= v == BAD;
    printf("  %s%-4s%s  %-15s ", v == BAD ? style_bold() : "", words[v],
           v == BAD ? style_plain() : "", what);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

static void head(const char *kind, const char *name) {
    printf("%s%s %s%s\n", style_bold(), kind, name, style_plain());
}

/* The coarse clock advances once per tick, and its resolution is the tick. */
static void check_tick(void) {
    struct timespec ts;
    if (clock_getres(CLOCK_MONOTONIC_COARSE, &ts) < 0 || ts.tv_nsec <= 0)
        return;
    long hz = (1000000000L + ts.tv_nsec / 2) / ts.tv_nsec;
    line(OK, "kernel tick",
         "%ld Hz: at most %ld samples a second of each thread, weighted by its CPU clock", hz, hz);
}

static void check_timer(void) {
    timer_t t;
    struct sigevent e = {.sigev_notify = SIGEV_NONE};
    if (timer_create(CLOCK_THREAD_CPUTIME_ID, &e, &t) == 0) {
        timer_delete(t);
        line(OK, "CPU timers", "work");
    } else {
        line(BAD, "CPU timers", "timer_create: %s; no CPU profile here", strerror(errno));
    }
}

static void check_pending(unsigned long queued, unsigned long limit) {
    bool tight = limit - queued < 1000 || queued > limit;
    line(tight ? NOTE : OK, "timers left", "%lu of %lu in use (ulimit -i)%s", queued, limit,
         tight ? ": one is needed per thread" : "");
}

static void check_seccomp(int mode) {
    line(mode ? NOTE : OK, "seccomp", "%s",
         mode ? "a filter is in force; if it refuses timer_create there is no CPU profile" : "off");
}

static void check_loaded(const char *soname, const char *package, const char *without) {
    void *h = dlopen(soname, RTLD_LAZY | RTLD_LOCAL);
    if (h) {
        line(OK, soname, "found");
        dlclose(h);
    } else {
        line(NOTE, soname, "missing: %s (package %s)", without, package);
    }
}

static void check_library(void) {
    char path[4096];
    if (!library_find(path, sizeof path))
        line(BAD, "libcprof.so", "neither beside this command nor in " CPROF_LIBDIR);
    else if (library_unpreloadable(path))
        line(BAD, "libcprof.so", "'%s' holds a colon or a space: it cannot be preloaded", path);
    else
        line(OK, "libcprof.so", "%s", path);
}

static void doctor_machine(void) {
    struct utsname u;
    struct process self;
    uname(&u);
    head("machine", u.nodename);
    line(OK, "kernel", "%s %s %s", u.sysname, u.release, u.machine);
    check_tick();
    check_timer();
    if (process_read(&self, getpid()) == 0) {
        check_pending(self.queued, self.queue_limit);
        check_seccomp(self.seccomp);
    } else {
        line(BAD, "/proc", "not mounted: threads born before the profiler are not found");
    }
    check_library();
    check_loaded("libelf.so.1", "libelf1", "addresses instead of names");
}

static void check_names(const struct binary *b) {
    line(b->build_id[0] ? OK : NOTE, "build id", "%s",
         b->build_id[0] ? b->build_id : "none: symbols found later cannot be checked against it");
    if (b->has_symtab)
        line(OK, "symbols", "full table");
    else if (b->has_debugdata)
        line(OK, "symbols", "compressed table (.gnu_debugdata)");
    else
        line(NOTE, "symbols", "stripped: only exported functions have names%s",
             b->has_dynsym ? "" : ", and there are none");
    line(OK, "lines", "%s", b->has_dwarf ? "debug information is there" : "no debug information");
}

static void check_binary(const struct binary *b) {
    char why[9000];
    if (b->is_script)
        line(OK, "script", "runs %s", b->runs);
    if (b->trouble != BINARY_FINE) {
        line(BAD, "preload", "%s", binary_explain(b, why, sizeof why));
        return;
    }
    line(OK, "preload", "possible: dynamically linked, not setuid");
    if (b->has_sanitizer)
        line(NOTE, "sanitizer", "its own memory functions stay in charge");
    check_names(b);
}

static void doctor_program(const char *program) {
    struct binary b;
    binary_inspect(&b, program);
    head("program", b.path);
    check_binary(&b);
}

static void check_signal(const struct process *p) {
    uint64_t bit = (uint64_t)1 << (SIGUSR2 - 1);
    if (p->has_jvm)
        line(NOTE, "SIGUSR2", "aborts a Java machine: never send it, set CPROF_SIGNAL");
    else if (!(p->caught & bit))
        line(NOTE, "SIGUSR2", "%s",
             p->ignored & bit ? "is ignored"
                              : "is not caught: it would end the "
                                "process");
    else
        line(OK, "SIGUSR2", "is caught");
    if (p->blocked & bit)
        line(NOTE, "SIGUSR2", "is blocked in every thread");
}

static void doctor_process(pid_t pid) {
    struct process p;
    char name[32], exe[64];
    snprintf(name, sizeof name, "%d", (int)pid);
    head("process", name);
    if (process_read(&p, pid) < 0) {
        line(BAD, "process", "is not there");
        return;
    }
    line(OK, "program", "%s", p.exe[0] ? p.exe : "(not readable)");
    line(OK, "threads", "%u", p.threads);
    if (p.unreadable)
        line(BAD, "memory map", "not readable: run this as the user of the process");
    else if (p.library[0])
        line(OK, "libcprof.so", "%s", p.library);
    else
        line(BAD, "libcprof.so", "is not in it: start it with 'cprof run'");
    if (process_secure(pid))
        line(BAD, "AT_SECURE", "set: the profiler stands still in privileged programs");
    char *preload = process_variable(pid, "LD_PRELOAD");
    if (preload)
        line(OK, "LD_PRELOAD", "%s", preload);
    free(preload);
    check_signal(&p);
    check_pending(p.queued, p.queue_limit);
    check_seccomp(p.seccomp);
    if (p.exe[0]) {
        struct binary b;
        snprintf(exe, sizeof exe, "/proc/%d/exe", (int)pid);
        binary_inspect(&b, exe);
        if (b.trouble == BINARY_FINE)
            check_names(&b);
    }
}

/* "#locations_unnamed=12": a count that should be zero. */
static enum verdict judge_comment(const char *key, const char *value) {
    static const char *const losses[] = {"unnamed", "changed_on_disk"};
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
        if (strstr(key, losses[i]) && strtod(value, NULL) > 0)
            return NOTE;
    return OK;
}

/* Losses are for people as well, so they stand in plain words: "12 samples with the leaf frame
 * only: ...". */
static void check_comments(const struct snapshot *s) {
    for (uint32_t i = 0; i < s->n_comments; i++) {
        const char *c = s->comments[i];
        if (*c != '#') {
            bool loss = *c >= '1' && *c <= '9';
            line(loss ? NOTE : OK, loss ? "lost" : "about", "%s", c);
            continue;
        }
        char key[64];
        size_t n = strcspn(c + 1, "=:");
        snprintf(key, sizeof key, "%.*s", (int)n, c + 1);
        const char *value = c[1 + n] ? c + 2 + n : "";
        line(judge_comment(key, value), key, "%s", value);
    }
}

static void check_coverage(const struct snapshot *s) {
    uint64_t named = 0;
    for (uint32_t i = 0; i < s->n_locations; i++)
        named += s->locations[i].n_lines > 0;
    line(named == s->n_locations ? OK : NOTE, "names", "%llu of %u places have one",
         (unsigned long long)named, s->n_locations);
    line(s->n_samples ? OK : NOTE, "samples", "%u distinct stacks", s->n_samples);
}

/* False when the file is no profile at all. */
static bool doctor_profile(const char *path) {
    struct file f;
    struct snapshot s;
    const char *why = NULL;
    if (file_read(path, &f) < 0)
        return false;
    int r = pprof_read(f.bytes, f.n, &s, &why);
    file_done(&f);
    if (r < 0)
        return false;
    head("profile", path);
    check_coverage(&s);
    check_comments(&s);
    snapshot_done(&s);
    return true;
}

static bool looks_like_profile(const char *path) {
    struct file f;
    if (access(path, X_OK) == 0 || file_read(path, &f) < 0)
        return false;
    bool gzip = f.n > 2 && (unsigned char)f.bytes[0] == 0x1f && (unsigned char)f.bytes[1] == 0x8b;
    bool name = strstr(path, ".pb") != NULL;
    file_done(&f);
    return gzip || name;
}

static void doctor_one(const char *what) {
    pid_t pid = process_number(what);
    if (pid > 0)
        doctor_process(pid);
    else if (!looks_like_profile(what))
        doctor_program(what);
    else if (!doctor_profile(what)) {
        head("profile", what);
        line(BAD, "file", "is not a profile, or was cut short");
    }
}

int cmd_doctor(int argc, char **argv) {
    static const struct option options[] = {{"help", no_argument, 0, 'h'}, {0}};
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c != 'h')
            return command_misused("doctor", "wrong option");
        fputs(cmd_doctor_help, stdout);
        return CMD_OK;
    }
    if (optind == argc)
        doctor_machine();
    for (int i = optind; i < argc; i++)
        doctor_one(argv[i]);
    return found_bad ? CMD_FAILED : CMD_OK;
}
