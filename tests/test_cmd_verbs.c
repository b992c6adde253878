/* Tests tools/main.c, cmd.c, help.c and near.c: verbs, help pages, exit statuses. */
#include "test_cmd.h"

#include "common/options.h"
#include "tools/cmd.h"

static void expect_said(struct said *s, int status, const char *on_err) {
    cr_expect(s->status == status, "status %d, stderr: %s", s->status, s->err);
    cr_expect(strstr(s->err, on_err), "'%s' not in: %s", on_err, s->err);
    free(s);
}

Test(cmd_verbs, an_unknown_verb_gets_did_you_mean) {
    expect_said(CMD("tpo"), 2, "unknown verb 'tpo' (did you mean 'top'?)");
    expect_said(CMD("dumb", "1"), 2, "did you mean 'dump'?");
    expect_said(CMD("vesrion"), 2, "did you mean 'version'?");
}

Test(cmd_verbs, a_far_off_verb_gets_no_guess) {
    struct said *s = CMD("quarterly");
    cr_expect(!strstr(s->err, "did you mean"), "%s", s->err);
    expect_said(s, 2, "unknown verb 'quarterly'");
}

Test(cmd_verbs, no_verb_is_wrong_usage) {
    expect_said(cmd_run_env(NULL, (char *[]){NULL}), 2, "no verb");
}

Test(cmd_verbs, version_is_the_version) {
    for (int i = 0; i < 2; i++) {
        struct said *s = CMD(i ? "--version" : "version");
        cr_expect(s->status == 0);
        cr_expect(strcmp(s->out, "cprof " CPROF_VERSION "\n") == 0, "%s", s->out);
        free(s);
    }
    expect_said(CMD("version", "x"), 2, "takes no arguments");
}

Test(cmd_verbs, help_lists_every_verb_and_every_variable) {
    struct said *s = CMD("help");
    cr_expect(s->status == 0);
#define COMMAND(verb, summary) cr_expect(strstr(s->out, "  " #verb " "), "no " #verb);
    COMMANDS(COMMAND)
#undef COMMAND
#define OPTION(variable, ...) cr_expect(strstr(s->out, #variable), "no " #variable);
    OPTIONS(OPTION)
#undef OPTION
    free(s);
}

/* Each page three ways, each with a usage line and an example of its own verb. */
Test(cmd_verbs, every_verb_has_a_page_with_examples) {
#define COMMAND(verb, summary) #verb,
    char *const verbs[] = {COMMANDS(COMMAND)};
#undef COMMAND
    for (int i = 0; i < CMD_COUNT; i++) {
        struct said *a = CMD("help", verbs[i]), *b = CMD(verbs[i], "--help"),
                    *c = CMD(verbs[i], "-h");
        char usage[64], example[64];
        snprintf(usage, sizeof usage, "usage: cprof %s", verbs[i]);
        snprintf(example, sizeof example, "cprof %s", verbs[i]);
        const char *examples = strstr(a->out, "examples:\n");
        cr_expect(a->status == 0 && b->status == 0 && c->status == 0, "%s", verbs[i]);
        cr_expect(strncmp(a->out, usage, strlen(usage)) == 0, "%s", a->out);
        cr_expect(examples && strstr(examples, example), "%s", a->out);
        cr_expect(strcmp(a->out, b->out) == 0 && strcmp(a->out, c->out) == 0, "%s", verbs[i]);
        free(a);
        free(b);
        free(c);
    }
}

Test(cmd_verbs, help_about_nothing_known_is_wrong_usage) {
    expect_said(CMD("help", "flurb"), 2, "there is no verb 'flurb'");
}
