#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/options.h"
#include "common/sys.h"

/* Parses one environment; what was said goes to a file and comes back in said. */
static char said[4096];

static struct options parse(const char *exe, char *const *vars) {
    char path[] = "/tmp/cprof-test-XXXXXX", log_file[64] = "CPROF_LOG_FILE=";
    close(mkstemp(path));
    strcat(log_file, path);
    char *envp[16] = {log_file};
    for (unsigned i = 0; vars[i]; i++)
        envp[i + 1] = vars[i];
    struct options o;
    options_parse(&o, envp, exe);
    cr_assert(sys_read_file(path, said, sizeof said) >= 0);
    unlink(path);
    return o;
}

#define PARSE(...) parse("host", (char *[]){__VA_ARGS__, NULL})

Test(options, no_environment_gives_the_defaults) {
    struct options o;
    options_parse(&o, NULL, "host");
    cr_assert(!o.off);
    cr_assert_str_eq(o.out, "cprof-%e-%p-%k-%n.pb.gz");
    cr_assert_eq(o.signal, SIGNAL_AUTO);
    cr_assert_eq(o.exit, EXIT_NORMAL);
    cr_assert_eq(o.every_ns, 0);
    cr_assert_str_empty(o.http);
    cr_assert_str_empty(o.log_file);
    cr_assert_eq(o.depth, 512);
    cr_assert_eq(o.memory, 64u << 20);
    cr_assert_eq(o.stack, STACK_AUTO);
    cr_assert(o.names);
    cr_assert_eq(o.log, LOG_WARN);
}

Test(options, default_list_says_what_the_table_of_kinds_says) {
    struct options o;
    options_parse(&o, NULL, "host");
    for (unsigned k = 0; k < KIND_COUNT; k++) {
        cr_expect_eq(o.kinds[k].on, kind_infos[k].on, "%s", kind_infos[k].name);
        cr_expect_eq(o.kinds[k].rate, kind_infos[k].default_rate, "%s", kind_infos[k].name);
        cr_expect(!o.kinds[k].asked);
    }
}

Test(options, list_replaces_the_default_set) {
    struct options o = PARSE("CPROF=cpu=199hz,heap=256k,wall,mutex=20us");
    cr_assert_eq(o.kinds[KIND_cpu].rate, 199);
    cr_assert_eq(o.kinds[KIND_heap].rate, 256 << 10);
    cr_assert_eq(o.kinds[KIND_mutex].rate, 20000);
    cr_assert_eq(o.kinds[KIND_wall].rate, 20);
    cr_assert(o.kinds[KIND_wall].on && o.kinds[KIND_wall].asked);
    cr_assert(!o.kinds[KIND_block].on && !o.kinds[KIND_threads].on);
    cr_assert_str_empty(said);
}

Test(options, all_is_every_kind_at_its_default_rate) {
    struct options o = PARSE("CPROF=heap=1m,all");
    for (unsigned k = 0; k < KIND_COUNT; k++)
        cr_assert(o.kinds[k].on && o.kinds[k].asked);
    cr_assert_eq(o.kinds[KIND_heap].rate, 1 << 20);
    cr_assert_eq(o.kinds[KIND_cpu].rate, 100);
}

Test(options, misspelt_profile_gets_a_suggestion) {
    struct options o = PARSE("CPROF=heep,cpu");
    cr_assert_str_eq(
        said, "cprof: CPROF: unknown profile 'heep' (did you mean 'heap'?); it is ignored\n");
    cr_assert(o.kinds[KIND_cpu].on && !o.kinds[KIND_heap].on);
}

Test(options, list_without_any_known_profile_keeps_the_default_set) {
    struct options o = PARSE("CPROF=quux");
    cr_assert_str_eq(said, "cprof: CPROF: unknown profile 'quux'; it is ignored\n");
    cr_assert(o.kinds[KIND_heap].on && !o.kinds[KIND_heap].asked);
}

Test(options, wrong_rates_keep_the_default_rate) {
    const char *wrong[] = {"CPROF=cpu=0hz",   "CPROF=cpu=10001", "CPROF=cpu=4k",
                           "CPROF=cpu=",      "CPROF=cpu=-1",    "CPROF=cpu=99999999999999999999hz",
                           "CPROF=heap=0",    "CPROF=heap=2g",   "CPROF=heap=9hz",
                           "CPROF=mutex=11s", "CPROF=mutex=0",   "CPROF=threads=5"};
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct options o = PARSE((char *)wrong[i]);
        cr_expect_eq(o.kinds[KIND_cpu].rate, 100, "%s", wrong[i]);
        cr_expect_eq(o.kinds[KIND_heap].rate, 512 << 10, "%s", wrong[i]);
        cr_expect_eq(o.kinds[KIND_mutex].rate, 100000, "%s", wrong[i]);
        cr_expect(strncmp(said, "cprof: CPROF: '", 15) == 0, "%s: %s", wrong[i], said);
    }
    PARSE("CPROF=cpu=0hz");
    cr_assert_str_eq(
        said, "cprof: CPROF: 'cpu=0hz' is not a rate from 1hz to 10000hz; cpu keeps its default\n");
}

Test(options, memory_by_age_on_request) {
    cr_assert(!PARSE("CPROF=heap=256k").kinds[KIND_heap].by_age);
    struct options o = PARSE("CPROF=heap=256k/age,allocs=/age");
    cr_assert_str_empty(said);
    cr_assert(o.kinds[KIND_heap].by_age && o.kinds[KIND_allocs].by_age);
    cr_assert_eq(o.kinds[KIND_heap].rate, 256 << 10);
    cr_assert_eq(o.kinds[KIND_allocs].rate, 512 << 10);
}

Test(options, wrong_word_behind_a_slash_costs_a_line_and_no_rate) {
    struct options o = PARSE("CPROF=heap=256k/ages");
    cr_assert_str_eq(said, "cprof: CPROF: '/ages' is not /age; heap is on without it\n");
    cr_assert_eq(o.kinds[KIND_heap].rate, 256 << 10);
    cr_assert(!o.kinds[KIND_heap].by_age);
    o = PARSE("CPROF=cpu=50hz/age");
    cr_assert_str_eq(
        said, "cprof: CPROF: '/age': only heap and allocs take /age; cpu is on without it\n");
    cr_assert_eq(o.kinds[KIND_cpu].rate, 50);
    PARSE("CPROF=heap=9hz/age");
    cr_assert(strstr(said, "is not a number of bytes"), "%s", said);
}

Test(options, off_and_disable_turn_everything_off) {
    cr_assert(PARSE("CPROF=off").off);
    cr_assert(PARSE("CPROF_DISABLE=1").off);
    cr_assert(!PARSE("CPROF_DISABLE=0").off);
    cr_assert(!PARSE("CPROF_DISABLE=").off);
}

Test(options, process_that_is_not_profiled_hears_nothing) {
    cr_assert(PARSE("CPROF_ONLY=redis-*,nginx", "CPROF_DEPTH=no").off);
    cr_assert_str_empty(said);
    cr_assert(!PARSE("CPROF_ONLY=redis-*,h[a-o]?t", "CPROF_DEPTH=8").off);
    cr_assert(PARSE("CPROF_DISABLE=1", "CPROF_FOO=1").off);
    cr_assert_str_empty(said);
}

Test(options, wrong_value_names_variable_value_and_what_is_right) {
    struct options o = PARSE("CPROF_DEPTH=9999");
    cr_assert_str_eq(said,
                     "cprof: CPROF_DEPTH: '9999' is not a number from 4 to 2048; using 512\n");
    cr_assert_eq(o.depth, 512);
}

Test(options, every_row_takes_a_right_value_and_refuses_a_wrong_one) {
    struct options o =
        PARSE("CPROF_OUT=/tmp/%e.%%", "CPROF_SIGNAL=SIGUSR1", "CPROF_EXIT=term", "CPROF_EVERY=5m",
              "CPROF_HTTP=127.0.0.1:6060", "CPROF_STACK=cfi", "CPROF_DEPTH=4", "CPROF_SYMBOLS=none",
              "CPROF_MEMORY=2g", "CPROF_LOG=debug");
    cr_assert_str_empty(said);
    cr_assert_str_eq(o.out, "/tmp/%e.%%");
    cr_assert_eq(o.signal, 10);
    cr_assert_eq(o.exit, EXIT_TERM);
    cr_assert_eq(o.every_ns, 300 * (uint64_t)1000000000);
    cr_assert_str_eq(o.http, "127.0.0.1:6060");
    cr_assert_eq(o.stack, STACK_CFI);
    cr_assert_eq(o.depth, 4);
    cr_assert(!o.names);
    cr_assert_eq(o.memory, (uint64_t)2 << 30);
    cr_assert_eq(o.log, LOG_DEBUG);
    const char *wrong[] = {
        "CPROF_OUT=%z",         "CPROF_OUT=100%",    "CPROF_SIGNAL=KILL",  "CPROF_SIGNAL=33",
        "CPROF_SIGNAL=99",      "CPROF_SIGNAL=FOO",  "CPROF_EXIT=2",       "CPROF_EVERY=1ms",
        "CPROF_EVERY=30q",      "CPROF_HTTP=6060",   "CPROF_HTTP=:6060",   "CPROF_HTTP=h:70000",
        "CPROF_HTTP=unix:path", "CPROF_STACK=dwarf", "CPROF_DEPTH=3",      "CPROF_SYMBOLS=yes",
        "CPROF_MEMORY=1k",      "CPROF_LOG=loud",    "CPROF_DISABLE=maybe"};
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        PARSE((char *)wrong[i]);
        cr_expect(strstr(said, " is not "), "%s said '%s'", wrong[i], said);
    }
}

Test(options, unknown_variable_gets_a_suggestion) {
    PARSE("CPROF_HTPP=x:1", "CPROFX=1", "CPROF_OUTLANDISH=2");
    cr_assert_str_eq(said,
                     "cprof: environment: unknown option 'CPROF_HTPP' (did you mean "
                     "'CPROF_HTTP'?); it is ignored\n"
                     "cprof: environment: unknown option 'CPROF_OUTLANDISH'; it is ignored\n");
}

Test(options, log_level_applies_to_complaints_that_stand_before_it) {
    PARSE("CPROF=heep,cpu", "CPROF_LOG=error");
    cr_assert_str_empty(said);
}

Test(options, hostile_environments_are_bounded) {
    size_t n = 1 << 20;
    char *big = malloc(n + 16);
    const char *starts[] = {
        "CPROF=", "CPROF_OUT=", "CPROF_ONLY=", "CPROF_HTTP=", "CPROF_DEPTH=", "CPROF_", ""};
    const char fill[] = "a,=9*\n";
    for (unsigned s = 0; s < sizeof starts / sizeof *starts; s++)
        for (unsigned f = 0; fill[f]; f++) {
            memset(big, fill[f], n);
            memcpy(big, starts[s], strlen(starts[s]));
            big[n] = '\0';
            PARSE(big, "no equals sign", "=", "");
            cr_expect(strlen(said) < 1200);
        }
    free(big);
}

Test(options, line_breaks_in_values_forge_no_lines) {
    PARSE("CPROF_DEPTH=1\ncprof: all is well");
    cr_assert_eq(strchr(said, '\n'), said + strlen(said) - 1);
    char buf[200];
    struct text t = TEXT_ON(buf);
    struct options o = PARSE("CPROF_OUT=a\nb");
    options_print(&o, (char *[]){"CPROF_OUT=a\nb", NULL}, &t);
    cr_assert_str_eq(buf, "CPROF_OUT=a?b");
}

Test(options, print_shows_accepted_values_that_differ) {
    char *envp[] = {"CPROF=cpu=50hz",    "CPROF_EVERY=30s", "CPROF_DEPTH=512",
                    "CPROF_STACK=wrong", "HOME=/",          NULL};
    struct options o = PARSE("CPROF=cpu=50hz", "CPROF_EVERY=30s");
    char buf[200] = "";
    struct text t = TEXT_ON(buf);
    options_print(&o, envp, &t);
    cr_assert_str_eq(buf, "CPROF=cpu=50hz CPROF_EVERY=30s");
}

static uint64_t value(bool (*parse_it)(const char *, size_t, uint64_t *), const char *s) {
    uint64_t v = 0;
    return parse_it(s, strlen(s), &v) ? v : UINT64_MAX;
}

Test(options, numbers_take_units) {
    cr_assert_eq(value(option_hz, "100hz"), 100);
    cr_assert_eq(value(option_hz, "100"), 100);
    cr_assert_eq(value(option_hz, "100 hz"), UINT64_MAX);
    cr_assert_eq(value(option_bytes, "512K"), 512 << 10);
    cr_assert_eq(value(option_bytes, "1g"), 1 << 30);
    cr_assert_eq(value(option_bytes, "18446744073709551616"), UINT64_MAX);
    cr_assert_eq(value(option_bytes, "17179869184g"), UINT64_MAX);
    cr_assert_eq(value(option_duration, "100us"), 100000);
    cr_assert_eq(value(option_duration, "10ms"), 10000000);
    cr_assert_eq(value(option_duration, "2"), 2000000000u);
    cr_assert_eq(value(option_duration, "5m"), (uint64_t)300000000000);
    cr_assert_eq(value(option_duration, ""), UINT64_MAX);
    cr_assert_eq(value(option_duration, "s"), UINT64_MAX);
}

Test(options, signals_by_name_and_number) {
    cr_assert_eq(option_signal_number("SIGUSR2", 7), 12);
    cr_assert_eq(option_signal_number("usr2", 4), 12);
    cr_assert_eq(option_signal_number("12", 2), 12);
    cr_assert_eq(option_signal_number("RTMIN+3", 7), 37);
    cr_assert_eq(option_signal_number("SIGRTMAX-1", 10), 63);
    cr_assert_eq(option_signal_number("RTMIN+99", 8), 0);
    cr_assert_eq(option_signal_number("SIG", 3), 0);
    cr_assert_eq(option_signal_number("0", 1), 0);
    cr_assert_eq(option_signal_number("65", 2), 0);
}
