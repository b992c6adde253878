/* Tests tools/run.c, binary.c and library.c: what the program gets and whose exit status it is. */
#include "test_cmd.h"

TestSuite(cmd_run, .init = cmd_folder, .fini = cmd_folder_remove);

static void write_file(const char *path, const void *bytes, size_t n, mode_t mode) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    cr_assert(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
    close(fd);
}

static void expect_said(struct said *s, int status, const char *on_err) {
    cr_expect(s->status == status, "status %d, stderr: %s", s->status, s->err);
    cr_expect(strstr(s->err, on_err), "'%s' not in: %s", on_err, s->err);
    free(s);
}

Test(cmd_run, a_missing_program_is_127) {
    expect_said(CMD("run", "./not-there"), 127,
                "cprof run: ./not-there: No such file or directory");
    expect_said(CMD("run", "no-such-program-on-path"), 127, "no-such-program-on-path");
}

Test(cmd_run, what_cannot_be_executed_is_126) {
    write_file("data", "hello", 5, 0600);
    expect_said(CMD("run", "./data"), 126, "Permission denied");
}

Test(cmd_run, exit_status_and_signal_are_the_programs_own) {
    expect_said(CMD("run", "sh", "-c", "exit 42"), 42, "");
    expect_said(CMD("run", "--", "sh", "-c", "kill -KILL $$"), 128 + SIGKILL, "");
}

Test(cmd_run, options_behind_the_program_are_the_programs) {
    struct said *s = CMD("run", "echo", "-h", "-o", "x");
    cr_expect(strcmp(s->out, "-h -o x\n") == 0, "%s", s->out);
    free(s);
}

Test(cmd_run, sets_the_variables_it_was_told) {
    struct said *s = CMD("run", "-o", "out-%p", "-p", "cpu=50hz", "sh", "-c",
                         "echo $CPROF_OUT $CPROF $CPROF_EXIT; echo $LD_PRELOAD");
    cr_expect(strncmp(s->out, "out-%p cpu=50hz term\n/", 22) == 0, "%s", s->out);
    cr_expect(strstr(s->out, "/libcprof.so\n"), "%s", s->out);
    free(s);
}

Test(cmd_run, leaves_a_set_CPROF_EXIT_alone) {
    struct said *s =
        cmd_run_env("CPROF_EXIT=0", (char *[]){"run", "sh", "-c", "echo $CPROF_EXIT", NULL});
    cr_expect(strcmp(s->out, "0\n") == 0, "%s", s->out);
    free(s);
}

Test(cmd_run, stands_behind_what_is_preloaded_already) {
    char *const words[] = {"run", "sh", "-c", "echo $LD_PRELOAD", NULL};
    struct said *s = cmd_run_env("LD_PRELOAD=libm.so.6", words);
    cr_expect(strncmp(s->out, "libm.so.6:/", 11) == 0, "%s", s->out);
    free(s);
}

Test(cmd_run, is_in_the_list_once) {
    struct said *s =
        CMD("run", "sh", "-c", "exec \"$0\" run sh -c 'echo $LD_PRELOAD'", (char *)cmd_path());
    cr_expect(strstr(s->out, "libcprof.so") && !strchr(s->out, ':'), "%s", s->out);
    free(s);
}

Test(cmd_run, an_out_folder_is_made) {
    struct said *s = CMD("run", "-o", "fresh/", "sh", "-c", "echo $CPROF_OUT");
    struct stat st;
    cr_expect(strcmp(s->out, "fresh/cprof-%e-%p-%k-%n.pb.gz\n") == 0, "%s", s->out);
    cr_expect(stat("fresh", &st) == 0 && S_ISDIR(st.st_mode));
    free(s);
}

Test(cmd_run, a_wrong_profile_is_wrong_usage) {
    expect_said(CMD("run", "-p", "heep", "true"), 2,
                "unknown profile 'heep' (did you mean 'heap'?)");
    expect_said(CMD("run", "-p", "cpu,", "true"), 2, "unknown profile ''");
}

Test(cmd_run, no_program_is_wrong_usage) { expect_said(CMD("run"), 2, "PROGRAM is missing"); }

/* The smallest ELF headers that say what is to be said; the kernel refuses to run them afterwards.
 */
static void write_elf(const char *path, unsigned char class, unsigned short machine) {
    unsigned char e[64] = {0x7f, 'E', 'L', 'F', class, 1, 1};
    e[16] = 2;
    memcpy(e + 18, &machine, 2);
    e[54] = 56;
    write_file(path, e, sizeof e, 0700);
}

Test(cmd_run, says_that_a_static_program_has_no_profile) {
#ifdef __x86_64__
    write_elf("static", 2, 62);
#else
    write_elf("static", 2, 183);
#endif
    struct said *s = CMD("run", "./static");
    cr_expect(strstr(s->err, "note: ./static is statically linked"), "%s", s->err);
    free(s);
    write_file("script", "#!./static\n", 11, 0700);
    s = CMD("run", "./script");
    cr_expect(strstr(s->err, "./script is a script, and its interpreter ./static is statically"),
              "%s", s->err);
    free(s);
}

Test(cmd_run, says_that_a_32_bit_program_has_no_profile) {
    write_elf("small", 1, 3);
    struct said *s = CMD("run", "./small");
    cr_expect(strstr(s->err, "note: ./small is for another machine or 32-bit"), "%s", s->err);
    free(s);
}

Test(cmd_run, refuses_a_library_path_that_the_loader_would_split) {
    /* The command finds the library relative to itself: copy both under a name with a space. */
    char command[4 * PATH_MAX];
    snprintf(
        command, sizeof command,
        "mkdir -p 'a b/tools' 'a b/preload' && cp %s 'a b/tools/' && : > 'a b/preload/libcprof.so'",
        cmd_path());
    cr_assert(system(command) == 0);
    cr_assert(setenv("COMMAND_UNDER_TEST", "a b/tools/cprof", 1) == 0);
    expect_said(CMD("run", "true"), 1, "cannot be preloaded");
}
