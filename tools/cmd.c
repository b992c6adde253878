#include "tools/cmd.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define COMMAND(verb, summary) {#verb, summary, cmd_##verb##_help, cmd_##verb},
const struct command commands[CMD_COUNT] = {COMMANDS(COMMAND)};
#undef COMMAND

const struct command *command_find(const char *verb) {
    for (size_t i = 0; i < CMD_COUNT; i++)
        if (strcmp(commands[i].verb, verb) == 0)
            return &commands[i];
    return NULL;
}

static void say(const char *verb, const char *kind, const char *format, va_list args) {
    fflush(stdout);
    fprintf(stderr, "cprof %s: %s", verb, kind);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

int command_failed(const char *verb, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(verb, "", format, args);
    va_end(args);
    return CMD_FAILED;
}

int command_misused(const char *verb, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(verb, "", format, args);
    va_end(args);
    fprintf(stderr, "Try 'cprof help %s'.\n", verb);
    return CMD_USAGE;
}

void command_note(const char *verb, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(verb, "note: ", format, args);
    va_end(args);
}
