/* Tests tools/top.c and tools/profile.c: the table and the JSON of profiles with known numbers. */
#include "test_cmd.h"

TestSuite(cmd_top, .init = cmd_folder, .fini = cmd_folder_remove);

/* 2 s in all: work 1.2 s of its own, helper 0.6 s below work, main 0.2 s. */
static const struct cmd_stack plain[] = {{{"work", "main"}, 60, 1200000000},
                                         {{"helper", "work", "main"}, 30, 600000000},
                                         {{"main"}, 10, 200000000},
                                         {{NULL}, 0, 0}};

/* The row of a function, or fails. */
static const char *row(const struct said *s, const char *function) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, "%%  %s\n", function);
    const char *end = strstr(s->out, wanted);
    cr_assert(end, "no row of %s in:\n%s", function, s->out);
    const char *begin = end;
    while (begin > s->out && begin[-1] != '\n')
        begin--;
    return begin;
}

static void expect_row(const struct said *s, const char *line) {
    cr_expect(strstr(s->out, line), "not found:\n%s\nin:\n%s", line, s->out);
}

Test(cmd_top, shows_flat_sum_and_cum_like_pprof) {
    cmd_write_profile("a.pb.gz", plain, NULL);
    struct said *s = CMD("top", "a.pb.gz");
    cr_expect(s->status == 0);
    cr_expect(strcmp(s->err, "") == 0, "%s", s->err);
    expect_row(s, "     1.20s 60.00% 60.00%      1.80s 90.00%  work\n");
    expect_row(s, "     600ms 30.00% 90.00%      600ms 30.00%  helper\n");
    expect_row(s, "     200ms 10.00% 100.00%         2s 100.00%  main\n");
    cr_expect(row(s, "work") < row(s, "helper") && row(s, "helper") < row(s, "main"));
    free(s);
}

Test(cmd_top, header_names_program_type_and_totals) {
    cmd_write_profile("a.pb.gz", plain, NULL);
    struct said *s = CMD("top", "a.pb.gz");
    expect_row(s, "File: host\nBuild ID: c0ffee\nType: cpu\nTime: 2023-11-14 22:13:20 UTC\n"
                  "cprof test profile\n3 stacks that did not reach the thread's root\n");
    expect_row(s, "Duration: 2s, Total samples = 2s (100.00%)\n");
    cr_expect(!strstr(s->out, "locations_unnamed"), "machine comments are not for people");
    free(s);
}

Test(cmd_top, cum_sorts_by_cum) {
    cmd_write_profile("a.pb.gz", plain, NULL);
    struct said *s = CMD("top", "--cum", "a.pb.gz");
    cr_expect(row(s, "main") < row(s, "work") && row(s, "work") < row(s, "helper"));
    free(s);
}

Test(cmd_top, recursion_counts_once_in_cum) {
    static const struct cmd_stack deep[] = {{{"f", "f", "f", "main"}, 1, 10000000}, {{NULL}, 0, 0}};
    cmd_write_profile("a.pb.gz", deep, NULL);
    struct said *s = CMD("top", "a.pb.gz");
    expect_row(s, "      10ms 100.00% 100.00%       10ms 100.00%  f\n");
    free(s);
}

Test(cmd_top, lines_cuts_the_table_and_says_so) {
    cmd_write_profile("a.pb.gz", plain, NULL);
    struct said *s = CMD("top", "-n", "1", "a.pb.gz");
    expect_row(s, "... 2 more (-n 0 prints all)\n");
    cr_expect(!strstr(s->out, "helper"));
    free(s);
}

Test(cmd_top, value_chooses_another_column) {
    cmd_write_profile("a.pb.gz", plain, NULL);
    struct said *s = CMD("top", "--value", "samples", "a.pb.gz");
    expect_row(s, "Type: samples\n");
    expect_row(s, "        60 60.00% 60.00%         90 90.00%  work\n");
    free(s);
    s = CMD("top", "--value", "bytes", "a.pb.gz");
    cr_expect(s->status == 1);
    cr_expect(strstr(s->err, "no value 'bytes', only samples, cpu"), "%s", s->err);
    free(s);
}

Test(cmd_top, two_files_add_up) {
    static const struct cmd_stack more[] = {{{"other", "main"}, 100, 2000000000}, {{NULL}, 0, 0}};
    cmd_write_profile("a.pb.gz", plain, NULL);
    cmd_write_profile("b.pb.gz", more, NULL);
    struct said *s = CMD("top", "a.pb.gz", "b.pb.gz");
    expect_row(s, "Merged: 2 files\n");
    expect_row(s, "Duration: 4s, Total samples = 4s (100.00%)\n");
    expect_row(s, "        2s 50.00% 50.00%         2s 50.00%  other\n");
    expect_row(s, "     200ms  5.00% 100.00%         4s 100.00%  main\n");
    free(s);
}

Test(cmd_top, json_holds_unscaled_numbers_and_every_comment) {
    static const struct cmd_stack odd[] = {{{"a\"b\\c\n", "main"}, 1, 10000000}, {{NULL}, 0, 0}};
    cmd_write_profile("a.pb.gz", odd, NULL);
    struct said *s = CMD("top", "--json", "a.pb.gz");
    cr_expect(strcmp(s->out,
                     "{\"type\":\"cpu\",\"unit\":\"nanoseconds\",\"total\":10000000,"
                     "\"duration_ns\":2000000000,\"files\":[\"a.pb.gz\"],"
                     "\"comments\":[\"cprof test profile\","
                     "\"3 stacks that did not reach the thread's "
                     "root\",\"#locations_unnamed=7\"],\"functions\":[\n"
                     " {\"name\":\"a\\\"b\\\\c\\u000a\",\"flat\":10000000,\"cum\":10000000},\n"
                     " {\"name\":\"main\",\"flat\":0,\"cum\":10000000}]}\n") == 0,
              "%s", s->out);
    free(s);
}

Test(cmd_top, places_without_a_name_count_for_their_file) {
    static const struct cmd_stack dark[] = {
        {{"@1", "main"}, 1, 10000000}, {{"@2", "main"}, 1, 10000000}, {{NULL}, 0, 0}};
    cmd_write_profile("a.pb.gz", dark, NULL);
    struct said *s = CMD("top", "a.pb.gz");
    expect_row(s, "      20ms 100.00% 100.00%       20ms 100.00%  [libx.so]\n");
    free(s);
}

/* pprof drops a matching frame and all it called, but never the last user frame at the root. */
Test(cmd_top, drop_frames_are_dropped_with_their_callees) {
    static const struct cmd_stack hidden[] = {
        {{"inside", "agent_x(int)", "work", "main"}, 1, 10000000},
        {{"agent_x(int)"}, 1, 10000000},
        {{"my_agent_x", "main"}, 1, 10000000},
        {{NULL}, 0, 0}};
    cmd_write_profile("a.pb.gz", hidden, "agent_.*");
    struct said *s = CMD("top", "a.pb.gz");
    expect_row(s, "      10ms 33.33% 33.33%       10ms 33.33%  agent_x(int)\n");
    expect_row(s, "      10ms 33.33%");
    row(s, "work");
    row(s, "my_agent_x");
    cr_expect(!strstr(s->out, "inside"), "%s", s->out);
    free(s);
}

Test(cmd_top, what_is_no_profile_fails_with_its_name) {
    FILE *f = fopen("bad.pb.gz", "w");
    fputs("this is not a profile at all", f);
    fclose(f);
    struct said *s = CMD("top", "bad.pb.gz");
    cr_expect(s->status == 1);
    cr_expect(strstr(s->err, "cprof top: bad.pb.gz: not a profile"), "%s", s->err);
    free(s);
    s = CMD("top", "missing.pb.gz");
    cr_expect(s->status == 1);
    cr_expect(strstr(s->err, "missing.pb.gz: No such file or directory"), "%s", s->err);
    free(s);
}

Test(cmd_top, wrong_usage_is_status_2) {
    char *const wrong[][4] = {
        {"top", NULL}, {"top", "-n", "many", NULL}, {"top", "--nonsense", "x", NULL}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct said *s = cmd_run_env(NULL, wrong[i]);
        cr_expect(s->status == 2, "case %zu", i);
        cr_expect(strstr(s->err, "cprof help top"), "%s", s->err);
        free(s);
    }
}

Test(cmd_top, a_full_disk_behind_standard_output_is_a_failure) {
    cmd_write_profile("a.pb.gz", plain, NULL);
    char command[2 * PATH_MAX + 64];
    snprintf(command, sizeof command, "%s top a.pb.gz > /dev/full 2> err", cmd_path());
    int r = system(command);
    cr_expect(WIFEXITED(r) && WEXITSTATUS(r) == 1);
}
