#pragma once
/*
 * For tests/test_cmd_*.c: runs the command as a user would, in a folder of its own, and keeps what
 * it said. The command is the one of this build, or COMMAND_UNDER_TEST.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/snapshot.h"
#include "proto/pprof.h"

struct said {
    int status; /* exit status, or 128 + signal */
    char out[64 << 10], err[16 << 10];
};

/* COMMAND_PATH comes from the build. */
static inline const char *cmd_path(void) {
    const char *named = getenv("COMMAND_UNDER_TEST");
    return named ? named : COMMAND_PATH;
}

static inline void cmd_slurp(const char *path, char *to, size_t cap) {
    int fd = open(path, O_RDONLY);
    cr_assert(fd >= 0, "%s: %s", path, strerror(errno));
    size_t n = 0;
    for (ssize_t r; (r = read(fd, to + n, cap - 1 - n)) > 0;)
        n += (size_t)r;
    to[n] = '\0';
    close(fd);
}

/* Runs cprof with these words (NULL ends them). env: "NAME=value" or NULL, put into its
 * environment. */
static inline struct said *cmd_run_env(const char *env, char *const *words) {
    char out[] = "/tmp/cprof-test-out-XXXXXX", err[] = "/tmp/cprof-test-err-XXXXXX";
    int out_fd = mkstemp(out), err_fd = mkstemp(err);
    cr_assert(out_fd >= 0 && err_fd >= 0);
    char *argv[32] = {(char *)cmd_path()};
    for (int i = 0; words[i]; i++)
        argv[i + 1] = words[i];
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out_fd, 1);
        dup2(err_fd, 2);
        unsetenv("LD_PRELOAD");
        unsetenv("CPROF_EXIT");
        setenv("ASAN_OPTIONS", "verify_asan_link_order=0",
               0); /* a preloaded command, built with ASan */
        if (env)
            putenv((char *)env);
        execv(argv[0], argv);
        _exit(99);
    }
    int status;
    cr_assert(waitpid(pid, &status, 0) == pid);
    close(out_fd);
    close(err_fd);
    struct said *s = calloc(1, sizeof *s);
    cr_assert(s);
    s->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    cmd_slurp(out, s->out, sizeof s->out);
    cmd_slurp(err, s->err, sizeof s->err);
    unlink(out);
    unlink(err);
    return s;
}

#define CMD(...) cmd_run_env(NULL, (char *[]){__VA_ARGS__, NULL})

/* A stack as text, leaf first: {"inner", "outer", NULL}. */
struct cmd_stack {
    const char *names[8];
    int64_t samples, cpu_ns;
};

enum { CMD_NAMES = 16 };

/*
 * Writes a cpu profile of these stacks (names NULL: end of list) to path. A name that starts with
 * '@' is a place without a name in the file behind it.
 */
static inline void cmd_write_profile(const char *path, const struct cmd_stack *stacks,
                                     const char *drop_frames) {
    struct snapshot s = {.kind = &kind_infos[KIND_cpu], .n_values = 2, .period = 10000000};
    s.values[0] = (struct kind_value){"samples", "count"};
    s.values[1] = (struct kind_value){"cpu", "nanoseconds"};
    s.period_type = "cpu";
    s.period_unit = "nanoseconds";
    s.time_ns = 1700000000000000000;
    s.duration_ns = 2000000000;
    s.drop_frames = drop_frames;
    static struct snapshot_mapping mappings[] = {
        {.start = 0x400000, .limit = 0x500000, .path = "/opt/host", .build_id = "c0ffee"},
        {.start = 0x7f0000000000, .limit = 0x7f0000100000, .path = "/lib/libx.so"}};
    s.mappings = mappings;
    s.n_mappings = 2;
    static struct snapshot_line lines[CMD_NAMES];
    static struct snapshot_location locations[CMD_NAMES];
    static struct snapshot_sample samples[CMD_NAMES];
    static uint32_t at[CMD_NAMES][8];
    memset(locations, 0, sizeof locations);
    memset(samples, 0, sizeof samples);
    s.locations = locations;
    s.samples = samples;
    for (; stacks[s.n_samples].names[0]; s.n_samples++) {
        const struct cmd_stack *from = &stacks[s.n_samples];
        struct snapshot_sample *to = &samples[s.n_samples];
        for (; from->names[to->n_locations]; to->n_locations++) {
            const char *name = from->names[to->n_locations];
            uint32_t l = 0;
            while (l < s.n_locations && strcmp(lines[l].name, name) != 0)
                l++;
            if (l == s.n_locations) {
                bool unnamed = name[0] == '@';
                lines[l] = (struct snapshot_line){.name = name};
                locations[l] = (struct snapshot_location){
                    .address = (unnamed ? 0x7f0000000000u : 0x400000u) + 16u * l + 1,
                    .mapping = unnamed,
                    .n_lines = !unnamed,
                    .lines = &lines[l]};
                s.n_locations++;
            }
            at[s.n_samples][to->n_locations] = l;
        }
        to->locations = at[s.n_samples];
        to->values[0] = from->samples;
        to->values[1] = from->cpu_ns;
    }
    snapshot_comment(&s, "cprof test profile");
    snapshot_comment(&s, "3 stacks that did not reach the thread's root");
    snapshot_comment(&s, "#locations_unnamed=7");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert(fd >= 0);
    cr_assert(pprof_write(&s, fd, NULL) == 0);
    close(fd);
    snapshot_done(&s);
}

/* A fresh folder, which becomes the current one. */
static inline void cmd_folder(void) {
    char folder[] = "/tmp/cprof-test-XXXXXX";
    cr_assert(mkdtemp(folder) && chdir(folder) == 0);
}

static inline void cmd_folder_remove(void) {
    char folder[PATH_MAX], command[PATH_MAX + 16];
    cr_assert(getcwd(folder, sizeof folder) && strncmp(folder, "/tmp/cprof-test-", 16) == 0);
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    cr_assert(chdir("/") == 0 && system(command) == 0);
}
