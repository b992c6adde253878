#include <stdio.h>
#include <string.h>

#include "common/options.h"
#include "tools/cmd.h"

const char cmd_help_help[] = "usage: cprof help [VERB]\n"
                             "\n"
                             "Without VERB: all verbs, and the variables that the profiler reads.\n"
                             "\n"
                             "examples:\n"
                             "  cprof help run\n"
                             "  man cprof\n";

static void list(void) {
    puts("usage: cprof VERB [OPTIONS] [ARGUMENTS]\n");
    for (size_t i = 0; i < CMD_COUNT; i++)
        printf("  %-8s %s\n", commands[i].verb, commands[i].summary);
    puts("\nvariables, read by the program that is profiled (default in brackets):");
#define OPTION(variable, default_text, parser, help) \
    printf("  %-15s%s [%s]\n", #variable, help, default_text);
    OPTIONS(OPTION)
#undef OPTION
    puts("\nexamples:\n"
         "  cprof run ./server --port 8080     profile a program, files at its end\n"
         "  cprof dump $(pidof server)         files now\n"
         "  cprof top cprof-server-*.pb.gz     where the time went\n"
         "  go tool pprof -http : FILE         the same in a browser\n"
         "\n'cprof help VERB' says more about one verb.");
}

int cmd_help(int argc, char **argv) {
    if (argc < 2) {
        list();
        return CMD_OK;
    }
    bool self = strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0;
    const struct command *c = command_find(self ? "help" : argv[1]);
    if (!c)
        return command_misused("help", "there is no verb '%s'", argv[1]);
    fputs(c->help, stdout);
    return CMD_OK;
}
