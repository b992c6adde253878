/* The table of `go tool pprof -top`, and the same as JSON for scripts. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "tools/cmd.h"
#include "tools/json.h"
#include "tools/profile.h"
#include "tools/style.h"

const char cmd_top_help[] =
    "usage: cprof top [-n N] [--cum] [--value NAME] [--json] FILE...\n"
    "\n"
    "Prints the functions of a profile, the most expensive first. Several files of one type are "
    "added up.\n"
    "flat is what a function cost itself, cum includes everything it called; sum% adds up the "
    "flat% above.\n"
    "FILE may be - for standard input.\n"
    "\n"
    "  -n, --lines N     rows to print, 0 for all [20]\n"
    "      --cum         sort by cum\n"
    "      --value NAME  the value to show, when the profile has several [the main one]\n"
    "      --json        one JSON object instead of a table, values unscaled\n"
    "  -h, --help        this page\n"
    "\n"
    "examples:\n"
    "  cprof top cprof-demo-4711-cpu-1.pb.gz\n"
    "  cprof top -n 5 --cum cprof-nginx-*-cpu-*.pb.gz\n"
    "  cprof top --json FILE | jq -r '.functions[0].name'\n";

struct function {
    const char *name;
    int64_t flat, cum;
    uint64_t last_sample; /* a recursive function counts once per sample in cum */
};

struct table {
    struct function *rows; /* open addressing, cap a power of two */
    size_t n, cap;
    uint64_t sample;
    bool out_of_memory;
};

static struct function *slot(struct function *rows, size_t cap, const char *name) {
    size_t i = hash_mix(hash_bytes(name, strlen(name))) & (cap - 1);
    while (rows[i].name && strcmp(rows[i].name, name) != 0)
        i = (i + 1) & (cap - 1);
    return &rows[i];
}

static bool grow(struct table *t) {
    size_t cap = t->cap ? 2 * t->cap : 1024;
    struct function *rows = calloc(cap, sizeof *rows);
    if (!rows)
        return false;
    for (size_t i = 0; i < t->cap; i++)
        if (t->rows[i].name)
            *slot(rows, cap, t->rows[i].name) = t->rows[i];
    free(t->rows);
    t->rows = rows;
    t->cap = cap;
    return true;
}

static struct function *function_of(struct table *t, const char *name) {
    if (2 * t->n >= t->cap && !grow(t))
        return NULL;
    struct function *f = slot(t->rows, t->cap, name);
    if (!f->name) {
        f->name = name;
        t->n++;
    }
    return f;
}

static void add_sample(void *arg, const struct frames *stack, int64_t value) {
    struct table *t = arg;
    t->sample++;
    for (uint32_t i = 0; i < stack->n; i++) {
        struct function *f = function_of(t, stack->names[i]);
        if (!f) {
            t->out_of_memory = true;
            return;
        }
        if (i == 0)
            f->flat += value;
        if (f->last_sample != t->sample)
            f->cum += value;
        f->last_sample = t->sample;
    }
}

static int compare(int64_t a, int64_t b) { return (a > b) - (a < b); }

static int by_flat(const void *a, const void *b) {
    const struct function *x = a, *y = b;
    int c = compare(y->flat, x->flat);
    c = c ? c : compare(y->cum, x->cum);
    return c ? c : strcmp(x->name, y->name);
}

static int by_cum(const void *a, const void *b) {
    const struct function *x = a, *y = b;
    int c = compare(y->cum, x->cum);
    c = c ? c : compare(y->flat, x->flat);
    return c ? c : strcmp(x->name, y->name);
}

/* Moves the rows to the front of the array, in the order of the table. */
static void sort(struct table *t, bool cum) {
    size_t n = 0;
    for (size_t i = 0; i < t->cap; i++)
        if (t->rows[i].name)
            t->rows[n++] = t->rows[i];
    qsort(t->rows, n, sizeof *t->rows, cum ? by_cum : by_flat);
}

static void print_text(const struct profile *p, const struct table *t, size_t lines) {
    profile_header(p);
    printf("%s%10s %6s %6s %10s %6s%s\n", style_bold(), "flat", "flat%", "sum%", "cum", "cum%",
           style_plain());
    int64_t sum = 0;
    for (size_t i = 0; i < lines; i++) {
        const struct function *f = &t->rows[i];
        char flat[32], cum[32];
        sum += f->flat;
        printf("%10s %5.2f%% %5.2f%% %10s %5.2f%%  %s\n",
               profile_value(flat, sizeof flat, p, f->flat), profile_percent(p, f->flat),
               profile_percent(p, sum), profile_value(cum, sizeof cum, p, f->cum),
               profile_percent(p, f->cum), f->name);
    }
    if (lines < t->n)
        printf("... %zu more (-n 0 prints all)\n", t->n - lines);
}

static void print_json(const struct profile *p, const struct table *t, size_t lines) {
    const struct snapshot *s = &p->parts[0];
    printf("{\"type\":");
    json_string(s->values[p->value].name);
    printf(",\"unit\":");
    json_string(profile_unit(p));
    printf(",\"total\":%lld,\"duration_ns\":%lld,\"files\":[", (long long)p->total,
           (long long)p->duration_ns);
    for (unsigned i = 0; i < p->n_parts; i++) {
        fputs(i ? "," : "", stdout);
        json_string(p->paths[i]);
    }
    printf("],\"comments\":[");
    for (uint32_t i = 0; i < s->n_comments; i++) {
        fputs(i ? "," : "", stdout);
        json_string(s->comments[i]);
    }
    printf("],\"functions\":[");
    for (size_t i = 0; i < lines; i++) {
        printf("%s\n {\"name\":", i ? "," : "");
        json_string(t->rows[i].name);
        printf(",\"flat\":%lld,\"cum\":%lld}", (long long)t->rows[i].flat,
               (long long)t->rows[i].cum);
    }
    puts("]}");
}

struct asked {
    unsigned lines;
    bool cum, json;
    const char *value;
};

/* The index of the first file, or -1 for help, or -2 after a usage message. */
static int parse(int argc, char **argv, struct asked *ret_asked) {
    enum { CUM = 256, VALUE, JSON };
    static const struct option options[] = {
        {"lines", required_argument, 0, 'n'},   {"cum", no_argument, 0, CUM},
        {"value", required_argument, 0, VALUE}, {"json", no_argument, 0, JSON},
        {"help", no_argument, 0, 'h'},          {0}};
    struct asked a = {.lines = 20};
    for (int c; (c = getopt_long(argc, argv, "n:h", options, NULL)) != -1;) {
        char *end;
        switch (c) {
        case 'n':
            a.lines = (unsigned)strtoul(optarg, &end, 10);
            if (*optarg < '0' || *optarg > '9' || *end) {
                command_misused("top", "-n %s: not a number of lines", optarg);
                return -2;
            }
            break;
        case CUM: a.cum = true; break;
        case VALUE: a.value = optarg; break;
        case JSON: a.json = true; break;
        case 'h': return -1;
        default: command_misused("top", "wrong option"); return -2;
        }
    }
    if (optind == argc) {
        command_misused("top", "which profile? FILE is missing");
        return -2;
    }
    *ret_asked = a;
    return optind;
}

int cmd_top(int argc, char **argv) {
    struct asked asked;
    int first = parse(argc, argv, &asked);
    if (first == -1)
        fputs(cmd_top_help, stdout);
    if (first < 0)
        return first == -1 ? CMD_OK : CMD_USAGE;

    struct profile p;
    if (profile_load(&p, "top", argv + first, (unsigned)(argc - first), asked.value) < 0)
        return CMD_FAILED;
    struct table t = {0};
    int r = profile_walk(&p, add_sample, &t);
    int status = CMD_OK;
    if (r < 0 || t.out_of_memory) {
        status = command_failed("top", "out of memory");
    } else {
        sort(&t, asked.cum);
        size_t lines = asked.lines && asked.lines < t.n ? asked.lines : t.n;
        (asked.json ? print_json : print_text)(&p, &t, lines);
    }
    free(t.rows);
    profile_done(&p);
    return status;
}
