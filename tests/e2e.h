#pragma once
/*
 * Runs a program in a fresh folder, with or without the agent preloaded, and looks at everything
 * that came out of it: output, exit status, profiles. The test runner itself is never preloaded.
 *
 * A run waits for the program and every process it left behind (the runner is their subreaper). A
 * run that does not end is a failure: the watchdog prints gdb's backtraces of every thread and
 * kills the tree. Every profile that a run leaves must satisfy strict_pprof.py and `go tool pprof
 * -raw`; a leftover temporary file fails the run too.
 *
 * env and command are words separated by spaces; 'single quotes' hold spaces. A command without a
 * slash is a program of tests/hosts. E2E_AGENT=1 tells a host that the agent is there.
 */
#include <stdbool.h>
#include <stddef.h>

struct e2e {
    char dir[128];   /* the folder the program started in; removed by e2e_done() */
    char *out, *err; /* err without the agent's own lines... */
    char *log;       /* ...which are here */
    int status;      /* as wait(2) has it */
    double cpu_ns;   /* of the program and all it left behind, as the kernel bills it */
    char **profiles; /* paths, sorted */
    size_t n_profiles;
};

/* Preloaded. LD_PRELOAD is in the environment only of the program and what it starts. */
struct e2e e2e_run(const char *env, const char *command);
struct e2e e2e_plain(const char *env, const char *command);
/* Both, one after the other: output, error output and status are equal byte for byte, and the
 * program was content (status 0 unless the command says otherwise by e2e_same_status()). The agent
 * logged nothing. */
struct e2e e2e_same(const char *env, const char *command);
struct e2e e2e_same_status(const char *env, const char *command, int status);
/* As e2e_same(), but the agent said exactly one line, which holds this text. */
struct e2e e2e_same_logged(const char *env, const char *command, const char *line);
/* As e2e_same(), for a script of tests/programs that starts what it wants under $PRELOAD. Log lines
 * are allowed: the programs have habits (USR2) that the agent comments on. */
struct e2e e2e_same_driven(const char *env, const char *script);
void e2e_done(struct e2e *r);

/* How many profiles match a shell pattern on the base name. */
size_t e2e_count(const struct e2e *r, const char *pattern);
/* The same, of those that do not depend on chance, the CPU profiles: a program that allocates or
 * contends a little may have a sample of that or none. */
size_t e2e_certain(const struct e2e *r, const char *pattern);
/* The path of the only one that matches. */
const char *e2e_profile(const struct e2e *r, const char *pattern);
/* A number out of all matching profiles: "--total", "--share work", "--flat work", "--depth". */
double e2e_ask(const struct e2e *r, const char *pattern, const char *question);
/* What strict_pprof.py prints; free() it. */
char *e2e_text(const struct e2e *r, const char *pattern, const char *question);
/* The table of go tool pprof -top -cum, 60 rows; free() it. */
char *e2e_pprof_top(const struct e2e *r, const char *pattern);
/* "name value" of the file "numbers" that the host left in its folder. */
double e2e_number(const struct e2e *r, const char *name);
/* Contents of a file in the run's folder, NULL if there is none; free() it. */
char *e2e_file(const struct e2e *r, const char *name);
/* The output of a shell command (in the runner, without the agent), and its status. free() it. */
char *e2e_shell(int *ret_status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What a test cannot do without: missing, it is skipped aloud, and on the build server it fails. */
void e2e_need(bool there, const char *what);

/* The watchdog of the runs that follow: long enough for a machine that does many other things. */
extern unsigned e2e_timeout_s;

/* A status as wait(2) has it. */
#define EXITED(code) ((code) << 8)
#define KILLED(sig)  (sig)
