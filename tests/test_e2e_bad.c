/* Bad situations: the host is unharmed, one clear line at most, nothing half-written. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e.h"

static void silent(const char *env, const char *command, size_t n_profiles) {
    struct e2e r = e2e_same(env, command);
    cr_expect_eq(e2e_certain(&r, "*"), n_profiles, "%s %s: %zu profiles", env, command,
                 r.n_profiles);
    e2e_done(&r);
}

static void one_line(const char *env, const char *command, const char *line, size_t n_profiles) {
    struct e2e r = e2e_same_logged(env, command, line);
    cr_expect_eq(e2e_certain(&r, "*"), n_profiles, "%s %s: %zu profiles", env, command,
                 r.n_profiles);
    e2e_done(&r);
}

static void as_root(void) { e2e_need(geteuid() == 0, "root"); }

Test(bad, misspelt_options_cost_one_line_each) {
    one_line("CPROF=heep", "bad burn 100", "did you mean 'heap'", 1);
    one_line("CPROF=cpu=fast", "bad burn 100", "CPROF", 1);
    one_line("CPROF=cpu=10parsecs", "bad burn 100", "CPROF", 1);
    one_line("CPROF=cpu=0hz", "bad burn 100", "CPROF", 1);
    one_line("CPROF=cpu=999999999hz", "bad burn 100", "CPROF", 1);
    one_line("CPROF_EXIT=maybe", "bad burn 100", "CPROF_EXIT", 1);
    one_line("CPROF_SIGNAL=SIGNOTHING", "bad burn 100", "CPROF_SIGNAL", 1);
    one_line("CPROF_SIGNAL=KILL", "bad burn 100", "CPROF_SIGNAL", 1);
    one_line("CPROF_DEPTH=0", "bad burn 100", "CPROF_DEPTH", 1);
    one_line("CPROF_EVERY=-3s", "bad burn 100", "CPROF_EVERY", 1);
    one_line("CPROF_STACK=magic", "bad burn 100", "CPROF_STACK", 1);
    one_line("CPROF_MEMORY=lots", "bad burn 100", "CPROF_MEMORY", 1);
    one_line("CPROF_OUT=cprof-%z.pb.gz", "bad burn 100", "CPROF_OUT", 1);
    one_line("CPROF_LOG=loud", "bad burn 100", "CPROF_LOG", 1);
    one_line("CPROF_UOT=x", "bad burn 100", "CPROF_UOT", 1);
}

Test(bad, off_leaves_nothing) {
    silent("CPROF=off", "bad quiet", 0);
    silent("CPROF_DISABLE=1", "bad quiet", 0);
    silent("CPROF_ONLY=other,b?t", "bad quiet", 0);
    silent("CPROF_ONLY=other,b?d", "bad burn 100", 1);
}

/* Off, the agent makes no system call after the loader is done with it, but for those that make its
 * doors plain jumps, and for the memory (and its lock) that the loader's error text needs when a
 * function that we stand in front of does not exist in this libc. */
Test(bad, off_makes_no_system_call_but_for_the_doors) {
    struct e2e plain = e2e_plain("", "/usr/bin/strace -f -o calls /bin/echo hello");
    e2e_need(plain.status == 0, "strace");
    struct e2e off = e2e_run("CPROF=off", "/usr/bin/strace -f -o calls /bin/echo hello");
    int status;
    char *difference = e2e_shell(
        &status,
        "for d in %s %s; do sed -n '/set_tid_address/,$p' $d/calls | sed 's/^[0-9]* *//' | "
        "sed '/self.task/d; /libcprof.so/,/close/d; /^mremap/d' | "
        "sed 's/(.*//' | "
        "grep -v -e mprotect -e munmap -e brk -e prlimit -e gettid -e mmap -e madvise > $d/names; "
        "done; diff %s/names %s/names",
        plain.dir, off.dir, plain.dir, off.dir);
    cr_expect_eq(status, 0, "%s", difference);
    free(difference);
    e2e_done(&plain);
    e2e_done(&off);
}

Test(bad, no_place_to_write) {
    one_line("CPROF_OUT=/no/such/folder/%p.pb.gz", "bad burn 100", "/no/such/folder", 0);
    one_line("CPROF_OUT=/proc/%p.pb.gz", "bad burn 100", "/proc", 0);
    one_line("CPROF_OUT=/dev/null/x.pb.gz", "bad burn 100", "/dev/null", 0);
}

Test(bad, log_goes_where_it_should) {
    struct e2e r = e2e_same("CPROF=heep CPROF_LOG_FILE=log.txt", "bad burn 100");
    char *text = e2e_file(&r, "log.txt");
    cr_assert(text && strstr(text, "heep"), "%s", text ? text : "no log");
    free(text);
    e2e_done(&r);
}

Test(bad, descriptors_are_all_taken) {
    struct e2e r = e2e_run("", "bad nofile");
    cr_expect_eq(r.status, 0, "%s", r.err);
    cr_expect(strstr(r.log, "cprof: ") && strchr(r.log, '\n')[1] == '\0', "%s", r.log);
    cr_expect_eq(e2e_certain(&r, "*"), 1);
    e2e_done(&r);
}
Test(bad, file_size_is_limited) {
    one_line("", "bad fsize 300", "", 0);
    /* Not even the line can be written: standard error is a file too. */
    silent("", "bad fsize 0", 0);
}
Test(bad, file_size_is_limited_and_the_log_too) {
    struct e2e r = e2e_run("CPROF_LOG_FILE=log.txt", "bad fsize 0");
    cr_expect_eq(r.status, 0);
    e2e_done(&r);
}
Test(bad, no_pending_signals_allowed) {
    struct e2e r = e2e_run("", "bad limited 11 0 burn 100 4");
    cr_expect(r.status == 0 && strcmp(r.out, "burned\n") == 0, "%#x %s", r.status, r.err);
    cr_expect(r.log[0] && strchr(r.log, '\n')[1] == '\0', "%s", r.log);
    e2e_done(&r);
    r = e2e_run("", "bad limited 11 3 burn 100 16");
    cr_expect(r.status == 0 && strcmp(r.out, "burned\n") == 0, "%#x %s", r.status, r.err);
    cr_expect_eq(e2e_certain(&r, "*"), 1);
    e2e_done(&r);
}
Test(bad, timers_are_refused) {
    one_line("", "bad refuse 222 1 burn 100 2", "timer", 1);
    one_line("", "bad refuse 222 38 burn 100 2", "timer", 1);
}
Test(bad, other_calls_are_refused) {
    static const char *const calls[] = {"310", "318", "28", "73", "316", "157", "204", "14", "13"};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char command[64];
        snprintf(command, sizeof command, "bad refuse %s 1 burn 100 2", calls[i]);
        struct e2e plain = e2e_plain("", command), r = e2e_run("", command);
        cr_expect(r.status == plain.status, "%s: %#x, plain %#x\n%s%s", command, r.status,
                  plain.status, r.err, r.log);
        cr_expect_str_eq(r.out, plain.out);
        e2e_done(&plain);
        e2e_done(&r);
    }
}
Test(bad, sandbox_ends_sampling_and_keeps_what_was_there) {
    struct e2e r = e2e_same("CPROF=cpu=250hz", "bad caged");
    cr_expect_eq(e2e_certain(&r, "*"), 1);
    double total = e2e_ask(&r, "*", "--total"), before = e2e_number(&r, "before");
    cr_expect(total > before * 0.9 - 20e6 && total < before + 200e6, "%.0f ms of %.0f ms",
              total / 1e6, before / 1e6);
    e2e_done(&r);
}
Test(bad, strict_seccomp_does_not_kill) {
    struct e2e r = e2e_same("CPROF=cpu=1000hz", "bad strict");
    e2e_done(&r);
}
Test(bad, chroot_to_an_empty_folder) {
    as_root();
    struct e2e r = e2e_run("", "bad jail");
    cr_expect_eq(r.status, 0, "%s", r.err);
    cr_expect(r.log[0] && strchr(r.log, '\n')[1] == '\0', "%s", r.log);
    e2e_done(&r);
}
Test(bad, no_proc) {
    as_root();
    struct e2e r = e2e_run("", "bad noproc burn 200 2");
    cr_expect(r.status == 0 && strcmp(r.out, "burned\n") == 0, "%#x %s", r.status, r.err);
    cr_expect_eq(e2e_certain(&r, "*"), 1);
    e2e_done(&r);
}
Test(bad, new_user_namespace) { silent("", "bad userns", 1); }
Test(bad, single_threaded_host_stays_so) { silent("", "bad single", 2); }

static void owned_by(const struct e2e *r, uid_t uid, size_t n) {
    size_t seen = 0;
    for (size_t i = 0; i < r->n_profiles; i++) {
        struct stat st;
        cr_assert(stat(r->profiles[i], &st) == 0);
        cr_expect_eq(st.st_mode & 07777, 0600, "%o", st.st_mode);
        seen += st.st_uid == uid && strstr(r->profiles[i], "-cpu-");
    }
    cr_expect_eq(seen, n, "%zu files of user %d", seen, (int)uid);
}

Test(bad, dropped_privileges) {
    as_root();
    struct e2e r = e2e_same("", "bad nobody");
    owned_by(&r, 65534, 2);
    e2e_done(&r);
    r = e2e_same("", "bad nobody 4");
    owned_by(&r, 65534, 2);
    e2e_done(&r);
}
Test(bad, dropped_privileges_and_a_folder_that_is_shut) {
    as_root();
    one_line("", "bad nobody_shut", "", 0);
}
Test(bad, everything_is_locked_in_memory) {
    as_root();
    silent("", "bad mlocked", 1);
}
Test(bad, address_space_is_short) {
    static const char *const bytes[] = {"0", "300000", "1000000", "3000000", "20000000"};
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        char command[64];
        snprintf(command, sizeof command, "bad tight %s", bytes[i]);
        struct e2e r = e2e_run("", command);
        cr_expect_eq(r.status, 0, "%s: %#x %s", command, r.status, r.err);
        cr_expect(!r.log[0] || strchr(r.log, '\n')[1] == '\0', "%s", r.log);
        e2e_done(&r);
    }
}
Test(bad, no_more_threads_allowed) {
    as_root();
    silent("", "bad no_threads", 1);
}
Test(bad, disk_is_full) {
    as_root();
    struct e2e r = e2e_run("CPROF_OUT=full/%p-%n.pb.gz", "bad full");
    cr_expect_eq(r.status, 0, "%s", r.err);
    cr_expect(r.log[0] && strchr(r.log, '\n')[1] == '\0', "%s", r.log);
    e2e_done(&r);
}
Test(bad, start_folder_is_gone) {
    struct e2e r = e2e_run("", "bad nocwd");
    cr_expect_eq(r.status, 0, "%s", r.err);
    cr_expect(r.log[0] && strchr(r.log, '\n')[1] == '\0', "%s", r.log);
    cr_expect_eq(e2e_certain(&r, "*"), 0);
    e2e_done(&r);
}
Test(bad, files_go_to_the_start_folder) { silent("", "bad moves", 1); }
Test(bad, umask_does_not_matter) {
    struct e2e r = e2e_same("", "bad mask 0");
    owned_by(&r, geteuid(), 1);
    e2e_done(&r);
    r = e2e_same("", "bad mask 777");
    owned_by(&r, geteuid(), 1);
    e2e_done(&r);
}
Test(bad, nothing_is_ever_overwritten) {
    static const char *const how[] = {"link", "dangling", "hard", "fifo", "folder"};
    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        char command[64];
        snprintf(command, sizeof command, "bad planted %s", how[i]);
        struct e2e r = e2e_run("CPROF_OUT=out.prof", command);
        cr_expect_eq(r.status, 0, "%s: %s", command, r.err);
        char *victim = e2e_file(&r, "victim");
        cr_expect_str_eq(victim, "precious\n");
        free(victim);
        cr_expect_null(e2e_file(&r, "nowhere"));
        e2e_done(&r);
    }
}
Test(bad, two_first_processes_of_two_worlds) {
    as_root();
    struct e2e r = e2e_same("", "bad pidns");
    /* The processes that made the worlds do little, and may have a file or not. */
    cr_expect_eq(e2e_count(&r, "cprof-*-1-cpu-*.pb.gz"), 2, "%zu", r.n_profiles);
    e2e_done(&r);
}
Test(bad, library_that_is_gone_keeps_its_names) {
    struct e2e r = e2e_same("", "bad plugin " HOSTS "/plugin.so");
    cr_expect(e2e_ask(&r, "*", "--share plugin_work") > 0.8);
    e2e_done(&r);
}
Test(bad, library_that_was_there_before_us) { silent("", "early_main early", 1); }
Test(bad, process_that_may_not_be_dumped) {
    as_root();
    silent("", "bad undumpable", 1);
}
Test(bad, static_program_in_a_profiled_shell) {
    struct e2e r = e2e_same("", "/bin/sh -c " HOSTS "/bare");
    cr_expect_eq(e2e_count(&r, "cprof-bare-*"), 0);
    e2e_done(&r);
}
/* The loader itself says that we are of another kind, and goes on. */
Test(bad, child_of_32_bits) {
    struct e2e r = e2e_run("", "/bin/sh -c 'echo \"int main(void) { return 7; }\" | cc -m32 -x c - "
                               "-o m32; ./m32; echo $?'");
    cr_expect(r.status == 0 && strcmp(r.out, "7\n") == 0, "%#x %s%s", r.status, r.out, r.err);
    e2e_done(&r);
}
Test(bad, empty_environment) {
    struct e2e r = e2e_run("", "/usr/bin/env -i LD_PRELOAD=" AGENT " " HOSTS "/bad burn 100");
    cr_expect(r.status == 0 && strcmp(r.out, "burned\n") == 0, "%s", r.err);
    cr_expect_eq(e2e_certain(&r, "cprof-bad-*"), 1);
    e2e_done(&r);
}
/* Names are made with memory of ours and freed by us, whoever owns the host's malloc. */
Test(bad, another_allocator_stands_before_us) {
    struct e2e r = e2e_run("ASAN_OPTIONS=detect_leaks=0",
                           "/bin/sh -c 'LD_PRELOAD=$(cc -print-file-name=libasan.so):" AGENT
                           " exec " HOSTS "/bad burn 100'");
    cr_expect(r.status == 0 && strcmp(r.out, "burned\n") == 0, "%#x %s", r.status, r.err);
    cr_expect_eq(e2e_certain(&r, "cprof-bad-*"), 1);
    e2e_done(&r);
}
Test(bad, agent_twice) {
    struct e2e r = e2e_run("", "/bin/sh -c 'cp " AGENT " copy.so && LD_PRELOAD=" AGENT
                               ":./copy.so exec " HOSTS "/bad burn 100'");
    cr_expect(r.status == 0 && strcmp(r.out, "burned\n") == 0, "%s", r.err);
    cr_expect_eq(e2e_certain(&r, "cprof-bad-*"), 1, "%zu", r.n_profiles);
    e2e_done(&r);
}
/* The agent is linked into this host: a set-user-id program is inert before it reads a variable.
 * One whose real user is another than its effective one is the same to the kernel, also where files
 * may not set users: a temporary folder mounted nosuid, a sandbox that allows no new privileges. */
Test(bad, set_user_id_program_is_inert) {
    as_root();
    struct e2e r = e2e_plain("CPROF_OUT=secure-%p.pb.gz CPROF=heep",
                             "/usr/bin/setpriv --ruid 65534 " HOSTS "/secure quiet");
    cr_expect(r.status == 0, "%s", r.err);
    cr_expect_str_empty(r.log);
    cr_expect_eq(e2e_certain(&r, "*"), 0);
    e2e_done(&r);
    r = e2e_plain("", HOSTS "/secure burn 100");
    cr_expect(r.status == 0 && e2e_certain(&r, "*") == 1,
              "the same program, not set-user-id, has a profile: %s", r.err);
    e2e_done(&r);
}
