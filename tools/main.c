/* The command: find the verb, hand over. */
#include <stdio.h>
#include <string.h>

#include "tools/cmd.h"
#include "tools/near.h"

static int unknown(const char *word) {
    const char *verbs[CMD_COUNT];
    for (int i = 0; i < CMD_COUNT; i++)
        verbs[i] = commands[i].verb;
    const char *near = near_find(word, verbs, CMD_COUNT);
    fprintf(stderr, "cprof: unknown verb '%s'", word);
    if (near)
        fprintf(stderr, " (did you mean '%s'?)", near);
    fprintf(stderr, "\nTry 'cprof help'.\n");
    return CMD_USAGE;
}

/* `cprof -h`, `cprof --help` and `cprof --version` are what fingers type first. */
static const char *verb_of(const char *word) {
    if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0)
        return "help";
    if (strcmp(word, "-V") == 0 || strcmp(word, "--version") == 0)
        return "version";
    return word;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fputs("cprof: no verb\nTry 'cprof help'.\n", stderr);
        return CMD_USAGE;
    }
    const struct command *c = command_find(verb_of(argv[1]));
    if (!c)
        return unknown(argv[1]);
    int status = c->run(argc - 1, argv + 1);
    /* A full disk or a closed pipe behind standard output is a failure that nobody else reports. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == CMD_OK) {
        perror("cprof: standard output");
        return CMD_FAILED;
    }
    return status;
}
