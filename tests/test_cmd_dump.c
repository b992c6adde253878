/* Tests tools/dump.c, process.c, ps.c, doctor.c: nothing is sent to a process that could suffer. */
#include "test_cmd.h"

TestSuite(cmd_dump, .init = cmd_folder, .fini = cmd_folder_remove);

static void expect_said(struct said *s, int status, const char *on_err) {
    cr_expect(s->status == status, "status %d, stderr: %s", s->status, s->err);
    cr_expect(strstr(s->err, on_err), "'%s' not in: %s", on_err, s->err);
    free(s);
}

Test(cmd_dump, a_process_without_the_profiler_is_left_alone) {
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    char number[16];
    snprintf(number, sizeof number, "%d", (int)pid);
    expect_said(CMD("dump", number), 1, "libcprof.so is not in process");
    int status;
    cr_expect(waitpid(pid, &status, WNOHANG) == 0, "it must still be alive");
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    expect_said(CMD("dump", number), 1, "there is no process");
}

/* A file of that name is mapped, but nobody catches SIGUSR2: the signal would kill. */
Test(cmd_dump, a_process_that_does_not_catch_the_signal_is_left_alone) {
    cr_assert(system("head -c 4096 /dev/zero > libcprof.so") == 0);
    char script[] =
        "import mmap,sys,time\nf=open('libcprof.so','rb')\n"
        "m=mmap.mmap(f.fileno(),0,prot=mmap.PROT_READ)\nprint(1,flush=True)\ntime.sleep(3600)\n";
    int ready[2];
    cr_assert(pipe(ready) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ready[1], 1);
        execlp("python3", "python3", "-c", script, (char *)NULL);
        _exit(99);
    }
    char c, number[16];
    cr_assert(read(ready[0], &c, 1) == 1);
    snprintf(number, sizeof number, "%d", (int)pid);
    expect_said(CMD("dump", number), 1, "it would end the process");
    int status;
    cr_expect(waitpid(pid, &status, WNOHANG) == 0, "it must still be alive");
    struct said *s = CMD("ps");
    cr_expect(strstr(s->out, number), "%s", s->out);
    free(s);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
}

/* Until the library is loaded and catches the signal, dump refuses: so it may be asked again and
 * again. */
Test(cmd_dump, prints_the_new_files_and_leaves_the_process_running) {
    pid_t pid = fork();
    if (pid == 0) {
        setenv("CPROF_OUT", "made-%p-%k-%n.pb.gz", 1);
        execl(cmd_path(), "cprof", "run", "sh", "-c", "while :; do :; done", (char *)NULL);
        _exit(99);
    }
    char number[16], wanted[64];
    snprintf(number, sizeof number, "%d", (int)pid);
    struct said *s = CMD("dump", "-t", "120", number);
    for (int tries = 0; s->status != 0 && tries < 2000; tries++) {
        free(s);
        usleep(50000);
        s = CMD("dump", "-t", "120", number);
    }
    static const char *const kinds[] = {"cpu", "heap", "mutex", "block"};
    for (int file = 1; file <= 2; file++) {
        cr_expect(s->status == 0 && s->out[0] == '/', "%s", s->err);
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
            snprintf(wanted, sizeof wanted, "/made-%d-%s-%d.pb.gz\n", (int)pid, kinds[i], file);
            cr_expect(strstr(s->out, wanted), "no %s in %s", wanted, s->out);
        }
        free(s);
        s = CMD("dump", "-t", "120", number);
    }
    free(s);
    int status;
    cr_expect(waitpid(pid, &status, WNOHANG) == 0, "it must still be alive");
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
}

Test(cmd_dump, wrong_usage_is_status_2) {
    expect_said(CMD("dump"), 2, "Exactly one PID");
    expect_said(CMD("dump", "nginx"), 2, "'nginx' is not a process number");
    expect_said(CMD("dump", "-t", "soon", "1"), 2, "not a number of seconds");
}

Test(cmd_dump, doctor_reads_the_losses_of_a_profile) {
    static const struct cmd_stack one[] = {{{"@1", "main"}, 1, 10000000}, {{NULL}, 0, 0}};
    cmd_write_profile("a.pb.gz", one, NULL);
    struct said *s = CMD("doctor", "a.pb.gz");
    cr_expect(s->status == 0);
    cr_expect(strstr(s->out, "note  lost            3 stacks that did not"), "%s", s->out);
    cr_expect(strstr(s->out, "note  locations_unnamed 7\n"), "%s", s->out);
    cr_expect(strstr(s->out, "note  names           1 of 2 places have one\n"), "%s", s->out);
    free(s);
}

Test(cmd_dump, doctor_says_bad_about_what_cannot_be_profiled) {
    struct said *s = CMD("doctor", "./nothing-here");
    cr_expect(s->status == 1);
    cr_expect(strstr(s->out, "BAD   preload         ./nothing-here is not there"), "%s", s->out);
    free(s);
    s = CMD("doctor", (char *)cmd_path());
    cr_expect(s->status == 0, "%s", s->out);
    cr_expect(strstr(s->out, "symbols         full table"), "%s", s->out);
    free(s);
}
