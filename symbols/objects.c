/* Of two variables that cover an address (a union, an alias) the smaller one names it, then the
 * first. */
#include "symbols/objects.h"

#include <stdlib.h>
#include <string.h>

#include "symbols/demangle.h"
#include "symbols/elf_file.h"
#include "symbols/symbols.h"

enum { CHUNK = 1024, NAME_MAX_BYTES = 1024 };

static void note(const Elf64_Sym *y, struct object_wanted *w, size_t n) {
    if (ELF64_ST_TYPE(y->st_info) != STT_OBJECT || y->st_shndx == SHN_UNDEF || !y->st_name)
        return;
    for (size_t i = 0; i < n; i++) {
        if (w[i].text || w[i].address - y->st_value >= y->st_size ||
            (w[i].size && w[i].size <= y->st_size))
            continue;
        w[i].start = y->st_value;
        w[i].size = y->st_size;
        w[i].name = y->st_name;
    }
}

static const char *people_name(struct snapshot *pool, const char *name) {
    char *people = name[0] == '_' ? demangle(name) : NULL;
    const char *text = people ? people : name;
    const char *kept = snapshot_text(pool, text, strlen(text));
    free(people);
    return kept;
}

static void name_found(const struct elf_file *f, const struct elf_section *strings,
                       struct object_wanted *w, size_t n, struct snapshot *pool) {
    char name[NAME_MAX_BYTES];
    for (size_t i = 0; i < n; i++) {
        if (!w[i].size || w[i].text || w[i].name >= strings->size)
            continue;
        size_t there = strings->size - w[i].name;
        size_t part = there < sizeof name - 1 ? there : sizeof name - 1;
        if (!elf_file_read(f, strings->offset + w[i].name, name, part))
            continue;
        name[part] = '\0';
        w[i].text = people_name(pool, name);
    }
}

static void scan(const struct elf_file *f, const char *table, struct object_wanted *w, size_t n,
                 struct snapshot *pool) {
    struct elf_section section, strings;
    if (!elf_file_section(f, table, &section) || !elf_file_section_at(f, section.link, &strings))
        return;
    Elf64_Sym *chunk = malloc(CHUNK * sizeof *chunk);
    uint64_t left = section.size / sizeof *chunk, at = section.offset;
    while (chunk && left > 0) {
        size_t now = left < CHUNK ? left : CHUNK;
        if (!elf_file_read(f, at, chunk, now * sizeof *chunk))
            break;
        for (size_t i = 0; i < now; i++)
            note(&chunk[i], w, n);
        at += now * sizeof *chunk;
        left -= now;
    }
    free(chunk);
    name_found(f, &strings, w, n, pool);
}

void symbols_objects(const struct snapshot_mapping *file, struct object_wanted *w, size_t n,
                     struct snapshot *pool) {
    struct elf_file f;
    for (size_t i = 0; i < n; i++) {
        w[i].size = 0;
        w[i].text = NULL;
    }
    if (!symbols_loaded() || !file->path || file->path[0] != '/' || elf_file_open(&f, file) != 0)
        return;
    scan(&f, ".symtab", w, n, pool);
    scan(&f, ".dynsym", w, n, pool);
    elf_file_done(&f);
}
