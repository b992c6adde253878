#pragma once
/*
 * The verbs of the command, in one table. A new verb is tools/x.c (cmd_x and cmd_x_help) plus one
 * row.
 *
 * A verb gets argv[0] = its own name and returns the exit status of the command: 0 when it did what
 * was asked, 1 when it could not, 2 when it was asked wrongly. Results go to standard output,
 * everything else to standard error, each message as "cprof VERB: fact".
 */

enum { CMD_OK = 0, CMD_FAILED = 1, CMD_USAGE = 2 };

/* COMMAND(verb, one-line help) */
/* clang-format off */
#define COMMANDS(COMMAND)                                                          \
    COMMAND(run,     "start a program with the profiler in it")                    \
    COMMAND(dump,    "make a running program write its profiles now")              \
    COMMAND(top,     "the functions that cost most, as a table")                   \
    COMMAND(tree,    "who calls what, by share")                                   \
    COMMAND(ps,      "the processes that run with the profiler")                   \
    COMMAND(doctor,  "what can go wrong here, with this program, in this profile") \
    COMMAND(version, "the version")                                                \
    COMMAND(help,    "help about a verb")
/* clang-format on */

#define COMMAND(verb, summary)             \
    int cmd_##verb(int argc, char **argv); \
    extern const char cmd_##verb##_help[];
COMMANDS(COMMAND)
#undef COMMAND

struct command {
    const char *verb;
    const char *summary;
    const char *help; /* the verb's page, from "usage:" to the examples */
    int (*run)(int argc, char **argv);
};

enum {
    CMD_COUNT = 0
#define COMMAND(verb, summary) +1
    COMMANDS(COMMAND)
#undef COMMAND
};

/* CMD_COUNT rows in table order. */
extern const struct command commands[CMD_COUNT];
/* The row of that verb, or NULL. */
const struct command *command_find(const char *verb);
/* "cprof VERB: " and the message on standard error; returns CMD_FAILED. */
int command_failed(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, and where to read on; returns CMD_USAGE. */
int command_misused(const char *verb, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A remark on standard error that changes nothing: "cprof VERB: note: ...". */
void command_note(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));
