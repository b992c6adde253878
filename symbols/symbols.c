/*
 * Addresses are gathered and sorted by file first; then each file is opened once, whatever the
 * number of its mappings, and its symbols look for the addresses they cover. A name is decoded once
 * per function: its addresses are neighbours and share one line.
 */
#include "symbols/symbols.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "common/sys.h"
#include "symbols/demangle.h"
#include "symbols/elf_names.h"
#include "symbols/perf_map.h"
#include "symbols/wanted.h"

/* Below the first page there is no code: such addresses are made up (frames that are no function).
 */
enum { FIRST_PAGE = 4096, VDSO_MAX = 1 << 20 };
static const uint32_t NO_FILE = UINT32_MAX;

struct naming {
    struct snapshot *s;
    struct symbols_report report;
    struct wanted *wanted;
    size_t n_wanted;
};

int symbols_load(void) {
    demangle_load();
    return elf_library_load();
}

bool symbols_loaded(void) { return libelf.elf_version != NULL; }

/* Gathering ---------------------------------------------------------------------------------------
 */

static bool same_file(const struct snapshot_mapping *a, const struct snapshot_mapping *b) {
    return a->inode == b->inode && a->dev == b->dev && strcmp(a->build_id, b->build_id) == 0 &&
           strcmp(a->path, b->path) == 0;
}

/* The rest is a matter for the perf map: JITs write their code to plain memory, a memfd or a
 * device. */
static bool has_image(const struct snapshot_mapping *m) {
    static const char *const not_files[] = {"//", "/memfd:", "/dev/", "/SYSV"};
    for (size_t i = 0; m->path && i < sizeof not_files / sizeof not_files[0]; i++)
        if (strncmp(m->path, not_files[i], strlen(not_files[i])) == 0)
            return false;
    return m->path && (m->path[0] == '/' || strcmp(m->path, "[vdso]") == 0);
}

/* files[i]: the first mapping with the same file as mapping i, or NO_FILE. */
static void group_files(const struct snapshot *s, uint32_t *files) {
    for (uint32_t i = 0; i < s->n_mappings; i++) {
        files[i] = NO_FILE;
        if (!has_image(&s->mappings[i]))
            continue;
        files[i] = i;
        for (uint32_t j = 0; j < i; j++)
            if (files[j] == j && same_file(&s->mappings[i], &s->mappings[j])) {
                files[i] = j;
                break;
            }
    }
}

static void gather(struct naming *x, const uint32_t *files) {
    for (uint32_t i = 0; i < x->s->n_locations; i++) {
        const struct snapshot_location *l = &x->s->locations[i];
        if (l->n_lines || l->address < FIRST_PAGE)
            continue;
        struct wanted w = {.at = l->address, .location = i, .file = NO_FILE};
        if (l->mapping >= 0 && files[l->mapping] != NO_FILE) {
            const struct snapshot_mapping *m = &x->s->mappings[l->mapping];
            w.file = files[l->mapping];
            w.at = l->address - m->start + m->offset;
        }
        x->wanted[x->n_wanted++] = w;
    }
    wanted_sort(x->wanted, x->n_wanted);
}

/* Naming ------------------------------------------------------------------------------------------
 */

/* A line for that symbol. The PLT's mark is taken off for the demangler and put on again. */
static struct snapshot_line *make_line(struct snapshot *s, const char *name) {
    static const char plt[] = "@plt";
    struct snapshot_line *line = snapshot_alloc(s, sizeof *line);
    size_t n = strlen(name), bare = n;
    if (n > sizeof plt && strcmp(name + n - 4, plt) == 0)
        bare = n - 4;
    if (!line || !(line->name = snapshot_text(s, name, n)))
        return NULL;
    char *copy = name[0] == '_' ? malloc(bare + 1)
                                : NULL; /* strndup's would be the host's, to free as well */
    if (copy) {
        memcpy(copy, name, bare);
        copy[bare] = '\0';
    }
    char *people = copy ? demangle(copy) : NULL;
    if (people) {
        size_t length = strlen(people);
        char *whole = realloc(people, length + sizeof plt);
        people = whole ? whole : people;
        if (whole && bare < n)
            strcpy(whole + length, plt);
        line->system_name = line->name;
        line->name = snapshot_text(s, people, strlen(people));
    }
    free(people);
    free(copy);
    return line->name ? line : NULL;
}

static void give_line(struct naming *x, uint32_t location, struct snapshot_line *line) {
    if (!line)
        return;
    x->s->locations[location].lines = line;
    x->s->locations[location].n_lines = 1;
}

static void name_from(struct naming *x, const struct elf_file *f, struct wanted *w, size_t n) {
    struct elf_names *names = elf_names_new(f, w, n);
    struct snapshot_line *line = NULL;
    const struct candidate *previous = NULL;
    for (size_t i = 0; names && i < n; i++) {
        const struct candidate *c = &w[i].best;
        if (!c->table)
            continue;
        if (!previous || previous->table != c->table || previous->name != c->name)
            line = make_line(x->s, elf_names_text(names, c));
        give_line(x, w[i].location, line);
        previous = c;
    }
    elf_names_free(names);
}

/* Our own vdso only: in a profile of another process its address means nothing here. */
static int open_vdso(struct elf_file *f, const struct snapshot_mapping *m) {
    size_t n = m->limit - m->start;
    if (m->start != getauxval(AT_SYSINFO_EHDR) || n > VDSO_MAX)
        return -1;
    char *image = malloc(n);
    if (!image || sys_peek((const void *)m->start, image, n) != (ssize_t)n) {
        free(image);
        return -1;
    }
    return elf_file_open_image(f, image, n);
}

static void name_file(struct naming *x, struct wanted *w, size_t n) {
    const struct snapshot_mapping *m = &x->s->mappings[w->file];
    struct elf_file f;
    bool is_file = m->path[0] == '/';
    if ((is_file ? elf_file_open(&f, m) : open_vdso(&f, m)) != 0) {
        x->report.files_stale += is_file;
        return;
    }
    x->report.files_read += is_file;
    name_from(x, &f, w, n);
    elf_file_done(&f);
}

static void name_jit(void *context, const struct wanted *w, const char *name) {
    struct naming *x = context;
    struct snapshot_line *line = snapshot_alloc(x->s, sizeof *line);
    if (line && (line->name = snapshot_text(x->s, name, strlen(name))))
        give_line(x, w->location, line);
}

static void name_all(struct naming *x, const char *perf_map) {
    for (size_t i = 0, n; i < x->n_wanted; i += n) {
        for (n = 1; i + n < x->n_wanted && x->wanted[i + n].file == x->wanted[i].file;)
            n++;
        if (x->wanted[i].file == NO_FILE && perf_map)
            perf_map_find(perf_map, &x->wanted[i], n, name_jit, x);
        else if (x->wanted[i].file != NO_FILE && symbols_loaded())
            name_file(x, &x->wanted[i], n);
    }
    for (size_t i = 0; i < x->n_wanted; i++) {
        bool named = x->s->locations[x->wanted[i].location].n_lines > 0;
        x->report.named += named;
        x->report.unnamed += !named;
    }
}

void symbols_name(struct snapshot *s, const char *perf_map, struct symbols_report *ret_report) {
    struct naming x = {.s = s};
    uint32_t *files = malloc((s->n_mappings + 1) * sizeof *files);
    x.wanted = malloc((s->n_locations + 1) * sizeof *x.wanted);
    if (files && x.wanted) {
        group_files(s, files);
        gather(&x, files);
        name_all(&x, perf_map);
    }
    free(files);
    free(x.wanted);
    if (ret_report)
        *ret_report = x.report;
}
