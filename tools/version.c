#include <stdio.h>
#include <string.h>

#include "tools/cmd.h"

const char cmd_version_help[] = "usage: cprof version\n"
                                "\n"
                                "Prints the version, as 'cprof 0.1.0'.\n"
                                "\n"
                                "examples:\n"
                                "  cprof version\n";

int cmd_version(int argc, char **argv) {
    if (argc > 1 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
        fputs(cmd_version_help, stdout);
        return CMD_OK;
    }
    if (argc > 1)
        return command_misused("version", "takes no arguments");
    puts("cprof " CPROF_VERSION);
    return CMD_OK;
}
