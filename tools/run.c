/*
 * run replaces itself by the program: its exit status, its signals and its process number are its
 * own, and nothing of ours stands between it and the terminal.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/kinds.h"
#include "tools/binary.h"
#include "tools/cmd.h"
#include "tools/library.h"
#include "tools/near.h"

const char cmd_run_help[] =
    "usage: cprof run [-o PATTERN] [-p KINDS] [--] PROGRAM [ARGUMENTS]\n"
    "\n"
    "Starts PROGRAM with libcprof.so preloaded. The profiles are written when it ends, also by "
    "SIGTERM,\n"
    "SIGINT or SIGHUP, and whenever 'cprof dump' asks. CPROF_* variables that are set stay in "
    "force.\n"
    "\n"
    "  -o, --out PATTERN  where files go: %e program, %p process, %k kind, %n number, %t time, %h "
    "host;\n"
    "                     a folder when it ends in / [cprof-%e-%p-%k-%n.pb.gz]\n"
    "  -p, --profiles KINDS  profile types with optional rates, like cpu=199hz\n"
    "  -h, --help         this page\n"
    "\n"
    "exit status: PROGRAM's own; 127 when it is not there, 126 when it cannot be started, 2 wrong "
    "usage,\n"
    "1 anything else of ours. Options after PROGRAM belong to PROGRAM.\n"
    "\n"
    "examples:\n"
    "  cprof run ./server --port 8080\n"
    "  cprof run -o profiles/ -p cpu=199hz -- make -j8\n"
    "  CPROF_EVERY=1m cprof run redis-server\n";

enum { NOT_STARTED = 126, NOT_FOUND = 127 };

struct asked {
    char *out;
    const char *profiles;
};

/* Only the names: rates are the profiled program's to check, which reads them from the environment.
 */
static int check_profiles(const char *list) {
    const char *names[KIND_COUNT];
    for (int i = 0; i < KIND_COUNT; i++)
        names[i] = kind_infos[i].name;
    for (const char *at = list;;) {
        size_t n = strcspn(at, ","), name = strcspn(at, "=,");
        bool word = (name == 3 && strncmp(at, "all", 3) == 0 && n == 3) ||
                    (name == 3 && strncmp(at, "off", 3) == 0 && n == 3);
        if (!word && !kind_find(at, (unsigned)name)) {
            char text[64];
            snprintf(text, sizeof text, "%.*s", (int)name, at);
            const char *near = near_find(text, names, KIND_COUNT);
            return command_misused("run", "unknown profile '%s'%s%s%s", text,
                                   near ? " (did you mean '" : "", near ? near : "",
                                   near ? "'?)" : "");
        }
        if (!at[n])
            return CMD_OK;
        at += n + 1;
    }
}

/* "DIR/" means the default names in that folder, which is made if it is missing. */
static char *out_pattern(const char *pattern) {
    size_t n = strlen(pattern);
    if (n == 0 || pattern[n - 1] != '/')
        return strdup(pattern);
    if (!strchr(pattern, '%') && mkdir(pattern, 0777) < 0 && errno != EEXIST) {
        command_failed("run", "%s: %s", pattern, strerror(errno));
        return NULL;
    }
    char *out = NULL;
    return asprintf(&out, "%scprof-%%e-%%p-%%k-%%n.pb.gz", pattern) < 0 ? NULL : out;
}

static bool already_preloaded(const char *list, const char *path) {
    size_t n = strlen(path);
    for (const char *at = list; (at = strstr(at, path)); at += n)
        if ((at == list || strchr(": ", at[-1])) && (!at[n] || strchr(": ", at[n])))
            return true;
    return false;
}

/* Behind what is preloaded already: that one was asked for first. */
static int set_preload(const char *library) {
    const char *before = getenv("LD_PRELOAD");
    if (!before || !*before)
        return setenv("LD_PRELOAD", library, 1);
    if (already_preloaded(before, library))
        return 0;
    char *list = NULL;
    int r = asprintf(&list, "%s:%s", before, library);
    if (r >= 0)
        r = setenv("LD_PRELOAD", list, 1);
    free(list);
    return r < 0 ? -1 : 0;
}

static int set_environment(const struct asked *a, const char *library) {
    if (set_preload(library) < 0 || setenv("CPROF_EXIT", "term", 0) < 0 ||
        (a->out && setenv("CPROF_OUT", a->out, 1) < 0) ||
        (a->profiles && setenv("CPROF", a->profiles, 1) < 0))
        return command_failed("run", "%s", strerror(errno));
    return CMD_OK;
}

static int parse(int argc, char **argv, struct asked *a) {
    static const struct option options[] = {{"out", required_argument, 0, 'o'},
                                            {"profiles", required_argument, 0, 'p'},
                                            {"help", no_argument, 0, 'h'},
                                            {0}};
    /* '+': the first word that is no option is the program. */
    for (int c; (c = getopt_long(argc, argv, "+o:p:h", options, NULL)) != -1;)
        switch (c) {
        case 'o':
            free(a->out);
            a->out = out_pattern(optarg);
            if (!a->out)
                return CMD_FAILED;
            break;
        case 'p':
            a->profiles = optarg;
            if (check_profiles(optarg) != CMD_OK)
                return CMD_USAGE;
            break;
        case 'h': fputs(cmd_run_help, stdout); return -1;
        default: return command_misused("run", "wrong option");
        }
    if (optind == argc)
        return command_misused("run", "which program? PROGRAM is missing");
    return CMD_OK;
}

static int start(const struct asked *a, char **program) {
    struct binary b;
    char why[9000], library[4096];
    binary_inspect(&b, program[0]);
    if (!library_find(library, sizeof library))
        return command_failed("run",
                              "libcprof.so is neither beside this command nor in " CPROF_LIBDIR);
    if (library_unpreloadable(library))
        return command_failed("run",
                              "'%s' cannot be preloaded: the loader takes colons and spaces for "
                              "separators; install it under a path without them",
                              library);
    if (b.trouble == BINARY_MUSL)
        return command_failed("run", "%s", binary_explain(&b, why, sizeof why));
    if (b.trouble != BINARY_FINE && b.trouble != BINARY_MISSING && b.trouble != BINARY_UNREADABLE)
        command_note("run", "%s", binary_explain(&b, why, sizeof why));
    int r = set_environment(a, library);
    if (r != CMD_OK)
        return r;
    execvp(program[0], program);
    int err = errno;
    command_failed("run", "%s: %s", program[0], strerror(err));
    return err == ENOENT ? NOT_FOUND : NOT_STARTED;
}

int cmd_run(int argc, char **argv) {
    struct asked asked = {0};
    int r = parse(argc, argv, &asked);
    if (r == CMD_OK)
        r = start(&asked, argv + optind);
    free(asked.out);
    return r < 0 ? CMD_OK : r;
}
