#include "agent/out.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "common/sys.h"
#include "tests/tree.h"

static void in_fresh_folder(void) {
    char folder[] = "/tmp/cprof-out-XXXXXX";
    cr_assert_not_null(mkdtemp(folder));
    strcpy(agent.folder, folder);
    strcpy(agent.options.out, "p.pb.gz");
}

static void remove_folder(void) { tree_remove(agent.folder); }

TestSuite(out, .init = in_fresh_folder, .fini = remove_folder);

static char name[256];

static const char *named(const char *pattern, unsigned number, unsigned try) {
    bool fits = out_name(pattern, "/srv", "my app", "cpu", number, try, 1763675620000000000u, name,
                         sizeof name);
    return fits ? name : NULL;
}

Test(out, the_pattern_is_filled_in) {
    char want[64];
    snprintf(want, sizeof want, "/srv/cprof-my_app-%d-cpu-3.pb.gz", getpid());
    cr_assert_str_eq(named("cprof-%e-%p-%k-%n.pb.gz", 3, 1), want);
    cr_assert_str_eq(named("/x/%t%%.pb", 1, 1), "/x/20251120T215340Z%.pb");
}

Test(out, a_taken_number_is_followed_by_the_next_one) {
    cr_assert_str_eq(named("/x/%n.pb.gz", 3, 2), "/x/4.pb.gz");
}

Test(out, a_taken_name_without_a_number_gets_one_before_its_ending) {
    cr_assert_str_eq(named("/x.y/p.pb.gz", 1, 2), "/x.y/p-2.pb.gz");
    cr_assert_str_eq(named("/x.y/plain", 1, 3), "/x.y/plain-3");
}

Test(out, a_name_that_does_not_fit_is_refused) {
    char small[8];
    cr_assert_not(out_name("/a/long/name", "", "e", "cpu", 1, 1, 0, small, sizeof small));
}

static int write_one(struct out *o, const char *text) {
    int err = out_open(o, "cpu", 1);
    if (err < 0)
        return err;
    cr_assert_eq(sys_write_all(o->fd, text, strlen(text)), 0);
    return out_commit(o);
}

Test(out, an_existing_file_is_never_replaced) {
    struct out a, b;
    cr_assert_eq(write_one(&a, "one"), 0);
    cr_assert_eq(write_one(&b, "two"), 0);
    cr_assert_str_neq(a.path, b.path);
    char buf[8];
    cr_assert_eq(sys_read_file(a.path, buf, sizeof buf), 3);
    cr_assert_str_eq(buf, "one");
}

Test(out, a_name_taken_while_we_wrote_is_not_replaced_either) {
    struct out o;
    cr_assert_eq(out_open(&o, "cpu", 1), 0);
    char taken[1024];
    strcpy(taken, o.path);
    close(sys_open(taken, O_WRONLY | O_CREAT, 0600));
    cr_assert_eq(out_commit(&o), 0);
    cr_assert_str_neq(o.path, taken);
}

Test(out, a_link_planted_at_the_name_is_not_followed) {
    struct out o;
    char link[1100], victim[1100];
    snprintf(victim, sizeof victim, "%s/victim", agent.folder);
    snprintf(link, sizeof link, "%s/p.pb.gz", agent.folder);
    cr_assert_eq(symlink(victim, link), 0);
    cr_assert_eq(write_one(&o, "x"), 0);
    cr_assert_neq(access(victim, F_OK), 0);
}

Test(out, a_temporary_left_by_a_killed_namesake_is_passed_by) {
    struct out killed, o;
    cr_assert_eq(out_open(&killed, "cpu", 1), 0);
    cr_assert_eq(out_open(&o, "cpu", 1), 0);
    cr_assert_str_neq(o.temporary, killed.temporary);
    cr_assert_eq(out_commit(&o), 0);
    out_abandon(&killed);
}

Test(out, files_are_private_whatever_the_umask) {
    struct out o;
    struct stat st;
    umask(0);
    cr_assert_eq(write_one(&o, "x"), 0);
    cr_assert_eq(stat(o.path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
}

Test(out, the_lowest_descriptor_stays_the_hosts) {
    struct out o;
    int before = dup(0);
    close(before);
    cr_assert_eq(out_open(&o, "cpu", 1), 0);
    int during = dup(0);
    cr_assert_eq(during, before);
    out_abandon(&o);
}

Test(out, a_file_size_limit_is_an_error_and_not_a_signal) {
    struct out o;
    struct rlimit tight = {16, 16};
    char big[4096] = {0};
    cr_assert_eq(out_open(&o, "cpu", 1), 0);
    setrlimit(RLIMIT_FSIZE, &tight);
    cr_assert_lt(sys_write_all(o.fd, big, sizeof big), 0);
    out_abandon(&o);
    sigset_t pending;
    sigpending(&pending);
    cr_assert_not(sigismember(&pending, SIGXFSZ));
    cr_assert_neq(access(o.temporary, F_OK), 0);
}
