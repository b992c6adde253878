#include <dirent.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "tools/cmd.h"
#include "tools/process.h"
#include "tools/style.h"

const char cmd_ps_help[] = "usage: cprof ps\n"
                           "\n"
                           "Lists the processes that run with libcprof.so: number, threads, "
                           "program, and the folder where their\n"
                           "files go unless CPROF_OUT names another.\n"
                           "\n"
                           "examples:\n"
                           "  cprof ps\n"
                           "  cprof dump $(cprof ps | awk '/nginx/ {print $1; exit}')\n";

static void print_row(const struct process *p) {
    char folder[4096];
    process_folder(p->pid, folder);
    printf("%8d %7u  %-32s %s\n", (int)p->pid, p->threads, p->exe, folder);
}

int cmd_ps(int argc, char **argv) {
    static const struct option options[] = {{"help", no_argument, 0, 'h'}, {0}};
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c != 'h')
            return command_misused("ps", "wrong option");
        fputs(cmd_ps_help, stdout);
        return CMD_OK;
    }
    if (optind < argc)
        return command_misused("ps", "takes no arguments");
    DIR *proc = opendir("/proc");
    if (!proc)
        return command_failed("ps", "/proc is not there");
    unsigned rows = 0, unreadable = 0;
    for (struct dirent *e; (e = readdir(proc));) {
        struct process p;
        pid_t pid = process_number(e->d_name);
        if (pid < 0 || process_read(&p, pid) < 0)
            continue;
        unreadable += p.unreadable;
        if (!p.library[0])
            continue;
        if (rows++ == 0)
            printf("%s%8s %7s  %-32s %s%s\n", style_bold(), "PID", "THREADS", "PROGRAM", "FOLDER",
                   style_plain());
        print_row(&p);
    }
    closedir(proc);
    if (rows == 0)
        command_note("ps",
                     "no process here runs with libcprof.so; start one with 'cprof run PROGRAM'");
    if (unreadable)
        command_note("ps", "%u process%s of other users could not be looked into", unreadable,
                     unreadable == 1 ? "" : "es");
    return CMD_OK;
}
