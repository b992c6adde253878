#pragma once
/*
 * What the user asked for: the CPROF_* environment, parsed once at load. The table below is the
 * only list of options: parsing, --help, the manual page and the profile's comments are made from
 * it.
 *
 * A wrong name or value costs one line on the log and that option keeps its default.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/kinds.h"
#include "common/log.h"

enum exit_mode { EXIT_NEVER, EXIT_NORMAL, EXIT_TERM };
enum stack_engine { STACK_AUTO, STACK_FP, STACK_CFI, STACK_LIBUNWIND };
enum { SIGNAL_NONE = 0, SIGNAL_AUTO = -1 };

/* OPTION(variable, default as text, parser, one-line help) */
/* clang-format off */
#define OPTIONS(OPTION)                                                                                                              \
    OPTION(CPROF,          "cpu=100hz,heap=512k,mutex=100us,block=100us,threads", option_kinds,    "profile types, each with an optional rate; all; off") \
    OPTION(CPROF_OUT,      "cprof-%e-%p-%k-%n.pb.gz", option_out,      "file pattern: %e exe, %p pid, %k kind, %n number, %t UTC time, %h host, %%") \
    OPTION(CPROF_SIGNAL,   "USR2",    option_signal,   "dump signal by name or number, or none")                                       \
    OPTION(CPROF_EXIT,     "1",       option_exit,     "1: write at exit; term: also on SIGTERM, SIGINT, SIGHUP; 0: never")            \
    OPTION(CPROF_EVERY,    "off",     option_every,    "write every interval, like 30s or 5m")                                         \
    OPTION(CPROF_HTTP,     "off",     option_http,     "serve profiles on host:port or unix:/path")                                    \
    OPTION(CPROF_ONLY,     "*",       option_only,     "comma list of globs on the executable's base name")                            \
    OPTION(CPROF_STACK,    "auto",    option_stack,    "stack walker: auto, fp, cfi, libunwind")                                       \
    OPTION(CPROF_DEPTH,    "512",     option_depth,    "frames kept per stack, 4 to 2048")                                             \
    OPTION(CPROF_SYMBOLS,  "names",   option_symbols,  "names, or none for addresses only")                                            \
    OPTION(CPROF_MEMORY,   "64m",     option_memory,   "bound of the agent's tables")                                                  \
    OPTION(CPROF_LOG,      "warn",    option_log,      "error, warn, info, debug")                                                     \
    OPTION(CPROF_LOG_FILE, "stderr",  option_log_file, "a path, or stderr")                                                            \
    OPTION(CPROF_DISABLE,  "0",       option_disable,  "1: do nothing at all")
/* clang-format on */

struct options {
    bool off; /* CPROF=off, CPROF_DISABLE=1, or CPROF_ONLY does not match */
    struct {
        bool on;
        bool asked;  /* named by the user, not by the default */
        bool by_age; /* "heap=512k/age" */
        uint64_t rate;
    } kinds[KIND_COUNT];
    char out[512];
    int signal; /* number, SIGNAL_NONE, or SIGNAL_AUTO: SIGUSR2 unless the host wants it */
    enum exit_mode exit;
    uint64_t every_ns; /* 0: off */
    char http[128];    /* empty: off */
    char only[256];
    enum stack_engine stack;
    unsigned depth;
    bool names;
    uint64_t memory; /* bytes */
    enum log_level log;
    char log_file[512]; /* empty: standard error */
};

/* Fills *o with the defaults and then with what envp says. Complaints go to the log, after
 * CPROF_LOG and CPROF_LOG_FILE took effect. exe is the executable's base name, for CPROF_ONLY. */
void options_parse(struct options *o, char *const *envp, const char *exe);
/* The options that differ from their defaults, as "CPROF=... CPROF_EVERY=30s", for a comment. */
void options_print(const struct options *o, char *const *envp, struct text *t);

/* Numbers with units, the whole of s (n bytes): 100hz; 512k, 2m, 1g; 10ms, 100us, 30s, 5m.
 * True and *ret_value on success. Durations are nanoseconds; a bare number is hz, bytes, or
 * seconds. */
bool option_hz(const char *s, size_t n, uint64_t *ret_value);
bool option_bytes(const char *s, size_t n, uint64_t *ret_value);
bool option_duration(const char *s, size_t n, uint64_t *ret_value);
/* SIGUSR2, USR2, usr2 or 12 to a number; 0 when there is no such signal. */
int option_signal_number(const char *s, size_t n);
