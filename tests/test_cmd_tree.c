/* Tests tools/tree.c: branches in order, pruned, with their own cost. */
#include "test_cmd.h"

TestSuite(cmd_tree, .init = cmd_folder, .fini = cmd_folder_remove);

static const struct cmd_stack plain[] = {{{"work", "main"}, 60, 1200000000},
                                         {{"helper", "work", "main"}, 30, 600000000},
                                         {{"rare", "main"}, 1, 10000000},
                                         {{"main"}, 10, 190000000},
                                         {{NULL}, 0, 0}};

Test(cmd_tree, the_biggest_branch_comes_first_and_small_ones_go) {
    cmd_write_profile("a.pb.gz", plain, NULL);
    struct said *s = CMD("tree", "a.pb.gz");
    cr_expect(s->status == 0);
    cr_expect(strstr(s->out, "100.00%         2s      190ms  main\n"
                             " 90.00%      1.80s      1.20s    work\n"
                             " 30.00%      600ms      600ms      helper\n"),
              "%s", s->out);
    cr_expect(!strstr(s->out, "rare"), "0.5 %% is below the default of 1 %%");
    free(s);
}

Test(cmd_tree, min_sets_what_is_small) {
    cmd_write_profile("a.pb.gz", plain, NULL);
    struct said *s = CMD("tree", "--min", "0", "a.pb.gz");
    cr_expect(strstr(s->out, "  0.50%       10ms       10ms    rare\n"), "%s", s->out);
    free(s);
    s = CMD("tree", "--min", "40", "a.pb.gz");
    cr_expect(!strstr(s->out, "helper"));
    free(s);
    s = CMD("tree", "--min", "120", "a.pb.gz");
    cr_expect(s->status == 2);
    free(s);
}

Test(cmd_tree, the_same_function_in_two_places_is_two_branches) {
    static const struct cmd_stack two[] = {
        {{"log", "a", "main"}, 3, 30000000}, {{"log", "b", "main"}, 1, 10000000}, {{NULL}, 0, 0}};
    cmd_write_profile("a.pb.gz", two, NULL);
    struct said *s = CMD("tree", "a.pb.gz");
    cr_expect(strstr(s->out, " 75.00%       30ms       30ms      log\n") &&
                  strstr(s->out, " 25.00%       10ms       10ms      log\n"),
              "%s", s->out);
    free(s);
}
