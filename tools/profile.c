/*
 * Everything printed here stands where `go tool pprof -top` prints it and is spelled the same way:
 * people who know one can read the other, and a test can compare them.
 */
#include "tools/profile.h"

#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/pprof.h"
#include "tools/cmd.h"
#include "tools/file.h"
#include "tools/style.h"

static int read_part(const char *verb, const char *path, struct snapshot *ret_part) {
    struct file f;
    int r = file_read(path, &f);
    if (r < 0) {
        command_failed(verb, "%s: %s", path, strerror(-r));
        return -1;
    }
    const char *why = NULL;
    r = pprof_read(f.bytes, f.n, ret_part, &why);
    file_done(&f);
    if (r < 0) {
        command_failed(verb, "%s: not a profile: %s", path,
                       r == -EINVAL && why ? why : strerror(-r));
        return -1;
    }
    return 0;
}

static int value_index(const struct snapshot *s, const char *name) {
    for (unsigned i = 0; i < s->n_values; i++)
        if (strcmp(s->values[i].name, name) == 0)
            return (int)i;
    return -1;
}

static int choose_value(const char *verb, const char *path, const struct snapshot *s,
                        const char *name) {
    if (!s->n_values) {
        command_failed(verb, "%s: the profile has no values", path);
        return -1;
    }
    int main_value = s->default_value ? value_index(s, s->default_value) : -1;
    if (!name)
        return main_value >= 0 ? main_value : (int)s->n_values - 1;
    int i = value_index(s, name);
    if (i < 0) {
        fprintf(stderr, "cprof %s: %s has no value '%s', only", verb, path, name);
        for (unsigned v = 0; v < s->n_values; v++)
            fprintf(stderr, "%s %s", v ? "," : "", s->values[v].name);
        fputc('\n', stderr);
    }
    return i;
}

static bool same_text(const char *a, const char *b) { return strcmp(a ? a : "", b ? b : "") == 0; }

static bool same_type(const struct snapshot *a, const struct snapshot *b) {
    if (a->n_values != b->n_values || !same_text(a->period_type, b->period_type))
        return false;
    for (unsigned i = 0; i < a->n_values; i++)
        if (!same_text(a->values[i].name, b->values[i].name) ||
            !same_text(a->values[i].unit, b->values[i].unit))
            return false;
    return true;
}

static void add_up(struct profile *p) {
    for (unsigned i = 0; i < p->n_parts; i++) {
        const struct snapshot *s = &p->parts[i];
        p->duration_ns += s->duration_ns;
        for (uint32_t k = 0; k < s->n_samples; k++)
            p->total += s->samples[k].values[p->value];
    }
}

int profile_load(struct profile *ret_profile, const char *verb, char *const *paths, unsigned n,
                 const char *value_name) {
    struct profile p = {.parts = calloc(n, sizeof *p.parts), .paths = calloc(n, sizeof *p.paths)};
    int value = -1;
    if (!p.parts || !p.paths)
        goto fail;
    for (; p.n_parts < n; p.n_parts++) {
        const char *path = p.paths[p.n_parts] = paths[p.n_parts];
        if (read_part(verb, path, &p.parts[p.n_parts]) < 0)
            goto fail;
        if (p.n_parts == 0 || same_type(&p.parts[0], &p.parts[p.n_parts]))
            continue;
        command_failed(verb, "%s and %s are profiles of different types", paths[0], path);
        p.n_parts++;
        goto fail;
    }
    value = choose_value(verb, paths[0], &p.parts[0], value_name);
    if (value < 0)
        goto fail;
    p.value = (unsigned)value;
    add_up(&p);
    *ret_profile = p;
    return 0;
fail:
    profile_done(&p);
    return -1;
}

void profile_done(struct profile *p) {
    for (unsigned i = 0; i < p->n_parts; i++)
        snapshot_done(&p->parts[i]);
    free(p->parts);
    free(p->paths);
    *p = (struct profile){0};
}

static bool frames_add(struct frames *f, const char *name) {
    if (f->n == f->cap) {
        uint32_t cap = f->cap ? 2 * f->cap : 64;
        const char **more = realloc(f->names, cap * sizeof *more);
        if (!more)
            return false;
        f->names = more;
        f->cap = cap;
    }
    f->names[f->n++] = name;
    return true;
}

/* One name per line of every location; a location without lines is named after its file. */
struct names {
    const char **of_location; /* the name of a location without lines */
    bool *drop;
};

static const char *place_name(struct snapshot *s, const struct snapshot_location *l) {
    const char *path = l->mapping >= 0 && (uint32_t)l->mapping < s->n_mappings
                           ? s->mappings[l->mapping].path
                           : NULL;
    char text[300];
    if (!path || !*path) {
        snprintf(text, sizeof text, "0x%llx", (unsigned long long)l->address);
    } else {
        const char *base = strrchr(path, '/');
        base = base && base[1] ? base + 1 : path;
        snprintf(text, sizeof text, *base == '[' ? "%s" : "[%s]", base);
    }
    const char *copy = snapshot_text(s, text, strlen(text));
    return copy ? copy : "?";
}

static const char *line_name(const struct snapshot_line *l) {
    return l->name ? l->name : l->system_name ? l->system_name : "?";
}

/* pprof matches the name without its arguments, anchored at both ends. */
static bool name_dropped(const regex_t *drop, const char *name) {
    char simple[512];
    size_t n = strcspn(name, "(");
    if (n == 0 || n >= sizeof simple)
        return false;
    memcpy(simple, name, n);
    simple[n] = '\0';
    regmatch_t m;
    return regexec(drop, simple, 1, &m, 0) == 0 && m.rm_so == 0 && (size_t)m.rm_eo == n;
}

static bool location_dropped(const regex_t *drop, const struct snapshot_location *l) {
    for (uint32_t i = 0; i < l->n_lines; i++)
        if (name_dropped(drop, line_name(&l->lines[i])))
            return true;
    return false;
}

static int names_init(struct names *n, struct snapshot *s) {
    n->of_location = snapshot_alloc(s, (s->n_locations + 1) * sizeof *n->of_location);
    n->drop = snapshot_alloc(s, s->n_locations + 1);
    if (!n->of_location || !n->drop)
        return -ENOMEM;
    regex_t drop;
    bool dropping =
        s->drop_frames && *s->drop_frames && regcomp(&drop, s->drop_frames, REG_EXTENDED) == 0;
    for (uint32_t i = 0; i < s->n_locations; i++) {
        const struct snapshot_location *l = &s->locations[i];
        if (!l->n_lines)
            n->of_location[i] = place_name(s, l);
        else if (dropping)
            n->drop[i] = location_dropped(&drop, l);
    }
    if (dropping)
        regfree(&drop);
    return 0;
}

/* A dropped frame takes everything it called with it, but the root of a stack always stays. */
static uint32_t first_kept(const struct names *n, const struct snapshot_sample *s) {
    for (uint32_t i = s->n_locations; i-- > 0;)
        if (n->drop[s->locations[i]] && i + 1 < s->n_locations)
            return i + 1;
    return 0;
}

static bool frames_fill(struct frames *f, const struct snapshot *s, const struct names *n,
                        const struct snapshot_sample *sample) {
    f->n = 0;
    for (uint32_t i = first_kept(n, sample); i < sample->n_locations; i++) {
        const struct snapshot_location *l = &s->locations[sample->locations[i]];
        if (!l->n_lines && !frames_add(f, n->of_location[sample->locations[i]]))
            return false;
        for (uint32_t k = 0; k < l->n_lines; k++)
            if (!frames_add(f, line_name(&l->lines[k])))
                return false;
    }
    return true;
}

int profile_walk(const struct profile *p, profile_visit *visit, void *arg) {
    struct frames f = {0};
    int r = 0;
    for (unsigned i = 0; i < p->n_parts && r == 0; i++) {
        struct snapshot *s = &p->parts[i];
        struct names n;
        r = names_init(&n, s);
        for (uint32_t k = 0; k < s->n_samples && r == 0; k++) {
            int64_t value = s->samples[k].values[p->value];
            if (value == 0)
                continue;
            if (frames_fill(&f, s, &n, &s->samples[k]))
                visit(arg, &f, value);
            else
                r = -ENOMEM;
        }
    }
    free(f.names);
    return r;
}

struct scale {
    const char *unit;
    double factor;
};

/* The largest unit that leaves at least 1, as pprof's measurement package chooses it. */
static char *scaled(char *buf, size_t n, double v, const struct scale *units, size_t n_units) {
    double size = v < 0 ? -v : v;
    size_t u = n_units - 1;
    while (u > 0 && size < units[u].factor)
        u--;
    int len = snprintf(buf, n, "%.2f", v / units[u].factor);
    char *end = buf + len;
    if (len > 3 && strcmp(end - 3, ".00") == 0)
        end -= 3;
    snprintf(end, n - (size_t)(end - buf), "%s", v == 0 ? "" : units[u].unit);
    return buf;
}

static char *format_value(char *buf, size_t n, const char *unit, int64_t value) {
    static const struct scale time_units[] = {{"ns", 1},  {"us", 1e3},    {"ms", 1e6},
                                              {"s", 1e9}, {"mins", 60e9}, {"hrs", 3600e9}};
    static const struct scale size_units[] = {
        {"B", 1}, {"kB", 1024}, {"MB", 1048576.0}, {"GB", 1073741824.0}, {"TB", 1099511627776.0}};
    if (strcmp(unit, "nanoseconds") == 0)
        return scaled(buf, n, (double)value, time_units, 6);
    if (strcmp(unit, "bytes") == 0)
        return scaled(buf, n, (double)value, size_units, 5);
    snprintf(buf, n, "%lld", (long long)value);
    return buf;
}

char *profile_value(char *buf, size_t n, const struct profile *p, int64_t value) {
    return format_value(buf, n, profile_unit(p), value);
}

double profile_percent(const struct profile *p, int64_t value) {
    return p->total ? 100.0 * (double)value / (double)p->total : 0;
}

static void print_time(int64_t time_ns) {
    time_t t = (time_t)(time_ns / 1000000000);
    struct tm tm;
    char text[64];
    if (time_ns && gmtime_r(&t, &tm) && strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm))
        printf("Time: %s\n", text);
}

static void print_comments(const struct snapshot *s) {
    for (uint32_t i = 0; i < s->n_comments; i++)
        if (s->comments[i][0] != '#')
            printf("%s\n", s->comments[i]);
}

static void print_file(const struct snapshot *s, const char *path) {
    if (!s->n_mappings || !s->mappings[0].path) {
        printf("Profile: %s\n", path);
        return;
    }
    const char *base = strrchr(s->mappings[0].path, '/');
    printf("File: %s\n", base ? base + 1 : s->mappings[0].path);
    if (s->mappings[0].build_id[0])
        printf("Build ID: %s\n", s->mappings[0].build_id);
}

void profile_header(const struct profile *p) {
    char total[32], duration[32];
    const struct snapshot *s = &p->parts[0];
    print_file(s, p->paths[0]);
    if (p->n_parts > 1)
        printf("Merged: %u files\n", p->n_parts);
    printf("Type: %s\n", s->values[p->value].name);
    print_time(s->time_ns);
    if (p->n_parts == 1)
        print_comments(s);
    profile_value(total, sizeof total, p, p->total);
    if (!p->duration_ns) {
        printf("%sTotal: %s%s\n", style_bold(), total, style_plain());
        return;
    }
    format_value(duration, sizeof duration, "nanoseconds", p->duration_ns);
    printf("%sDuration: %s, Total samples = %s", style_bold(), duration, total);
    if (strcmp(profile_unit(p), "nanoseconds") == 0)
        printf(" (%.2f%%)", 100.0 * (double)p->total / (double)p->duration_ns);
    printf("%s\n", style_plain());
}
