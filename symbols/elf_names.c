/*
 * Cost: one pread per 48 KiB of symbol table and one binary search per function in it, about 15 ns
 * each (40 ns where the search went over struct wanted: the addresses alone stay in the first
 * cache). A string table is kept only where that is cheaper than to read the few names that are
 * needed, one by one: node's has 7 MB, a browser's 100 MB.
 */
#include "symbols/elf_names.h"

#include <stdlib.h>
#include <string.h>

/* To read a KiB of a string table into new memory costs about what one pread of a name costs. */
enum { CHUNK_SYMBOLS = 2048, STRINGS_KEPT = 8 << 20, STRINGS_PER_NAME = 1 << 10 };
enum { NAME_PIECE = 256, PLT_ENTRY = 16 };
enum { MAX_XZ = 16 << 20, MAX_UNPACKED = 64 << 20, LZMA_MEMORY = 32 << 20, LZMA_BUF_ERROR = 10 };

/* Names -------------------------------------------------------------------------------------------
 */

/* n: how many names are wanted. */
static bool strings_open(struct elf_strings *s, const struct elf_file *f, uint64_t section,
                         size_t n) {
    struct elf_section found;
    if (!elf_file_section_at(f, section, &found))
        return false;
    *s = (struct elf_strings){.file = f, .offset = found.offset, .size = found.size};
    if (found.size && found.size <= STRINGS_KEPT && found.size / STRINGS_PER_NAME <= n &&
        (s->whole = malloc(found.size + 1))) {
        s->whole[found.size] = '\0';
        if (!elf_file_read(f, found.offset, s->whole, found.size)) {
            free(s->whole);
            s->whole = NULL;
            return false;
        }
    }
    return true;
}

static const char *name_at(const struct elf_strings *s, uint64_t name, char scratch[ELF_NAME_MAX]) {
    if (name >= s->size)
        return "";
    if (s->whole)
        return s->whole + name;
    size_t n = 0, there = s->size - name < ELF_NAME_MAX - 1 ? s->size - name : ELF_NAME_MAX - 1;
    while (n < there) {
        size_t piece = there - n < NAME_PIECE ? there - n : NAME_PIECE;
        if (!elf_file_read(s->file, s->offset + name + n, scratch + n, piece))
            break;
        if (memchr(scratch + n, 0, piece))
            return scratch;
        n += piece;
    }
    scratch[n] = '\0';
    return scratch;
}

static unsigned underscores(const char *name) { return (unsigned)strspn(name, "_"); }

/* Both cover the address and start at the same place; a is the newcomer. */
static bool is_better_name(struct elf_names *x, const struct candidate *a,
                           const struct candidate *b) {
    if ((a->binding == STB_LOCAL) != (b->binding == STB_LOCAL))
        return b->binding == STB_LOCAL;
    const char *its = name_at(&x->strings[a->table], a->name, x->scratch[0]);
    const char *old = name_at(&x->strings[b->table], b->name, x->scratch[1]);
    if (underscores(its) != underscores(old))
        return underscores(its) < underscores(old);
    if ((a->binding == STB_WEAK) != (b->binding == STB_WEAK))
        return b->binding == STB_WEAK;
    return strcspn(its, "@") < strcspn(old, "@");
}

static bool is_better(struct elf_names *x, const struct candidate *a, const struct candidate *b) {
    if (a->table != b->table)
        return a->table > b->table;
    if (a->start != b->start)
        return a->start > b->start;
    return is_better_name(x, a, b);
}

/* Symbol tables
 * ------------------------------------------------------------------------------------ */

/* wanted_first() on x->addresses; n > 0. Without a branch: a table has no order that one could
 * guess. */
static size_t addresses_first(const uint64_t *addresses, size_t n, uint64_t at) {
    const uint64_t *low = addresses;
    for (; n > 1; n -= n / 2)
        low += n / 2 * (low[n / 2 - 1] < at);
    return (size_t)(low - addresses) + (*low < at);
}

static bool is_function(const Elf64_Sym *y) {
    unsigned type = ELF64_ST_TYPE(y->st_info);
    return (type == STT_FUNC || type == STT_GNU_IFUNC) && y->st_shndx != SHN_UNDEF && y->st_name;
}

static void add_symbol(struct elf_names *x, const struct elf_file *home, enum elf_table table,
                       const Elf64_Sym *y, struct wanted *w, size_t n) {
    uint64_t start;
    if (!is_function(y) || !elf_file_offset(x->file, y->st_value, &start) || start > w[n - 1].at)
        return;
    size_t first = addresses_first(x->addresses, n, start);
    struct candidate c = {
        .start = start,
        .end = y->st_size < x->file->size ? start + y->st_size : start,
        .name = y->st_name,
        .table = (uint8_t)table,
        .binding = ELF64_ST_BIND(y->st_info),
    };
    for (size_t i = first; i < n && w[i].at < c.end; i++)
        if (!w[i].best.table || is_better(x, &c, &w[i].best))
            w[i].best = c;
    struct candidate *near = &w[first].near;
    if (near->table && near->start > start)
        return;
    /* Of those that start together one with a size is the end of any doubt: it ends before
     * w[first]. */
    if (near->table && near->start == start && (near->end > start || y->st_size == 0))
        return;
    if (y->st_size == 0) {
        struct elf_section section;
        if (!elf_file_section_at(home, y->st_shndx, &section))
            return;
        /* debugdata has the section's address and size but not its place in the file. */
        c.end = home == x->file ? section.offset + section.size : start;
        c.sizeless = true;
    }
    *near = c;
}

static bool find_table(const struct elf_file *home, enum elf_table table,
                       struct elf_section *ret_section) {
    return elf_file_section(home, table == ELF_DYNSYM ? ".dynsym" : ".symtab", ret_section);
}

static void scan_table(struct elf_names *x, const struct elf_file *home, enum elf_table table,
                       struct wanted *w, size_t n) {
    struct elf_section section;
    if (!find_table(home, table, &section) ||
        !strings_open(&x->strings[table], home, section.link, n))
        return;
    Elf64_Sym *chunk = malloc(CHUNK_SYMBOLS * sizeof *chunk);
    uint64_t left = section.size / sizeof *chunk;
    while (chunk && left > 0) {
        size_t now = left < CHUNK_SYMBOLS ? left : CHUNK_SYMBOLS;
        if (!elf_file_read(home, section.offset, chunk, now * sizeof *chunk))
            break;
        for (size_t i = 0; i < now; i++)
            add_symbol(x, home, table, &chunk[i], w, n);
        section.offset += now * sizeof *chunk;
        left -= now;
    }
    free(chunk);
}

/* The linker puts every symbol of .dynsym into .symtab; strip(1) takes .symtab away or leaves
 * little of it.
 */
static bool symtab_is_whole(const struct elf_file *f) {
    struct elf_section symtab, dynsym;
    return find_table(f, ELF_SYMTAB, &symtab) &&
           (!find_table(f, ELF_DYNSYM, &dynsym) || symtab.size >= dynsym.size);
}

static bool all_named(const struct wanted *w, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!w[i].best.table)
            return false;
    return true;
}

/* What no size covers goes to the nearest symbol below, if that one has no size and the same
 * section. */
static void settle_sizeless(struct wanted *w, size_t n) {
    struct candidate near = {0};
    for (size_t i = 0; i < n; i++) {
        if (w[i].near.table && (!near.table || w[i].near.start >= near.start))
            near = w[i].near;
        if (!w[i].best.table && near.sizeless && w[i].at < near.end)
            w[i].best = near;
    }
}

/* .gnu_debugdata
 * ------------------------------------------------------------------------------------ */

/* The unpacked image from malloc, or NULL. Its size is not written anywhere handy, so room is
 * doubled. */
static char *unpack_xz(const uint8_t *xz, size_t n, size_t *ret_n) {
    for (size_t room = 8 * n + 4096; room <= MAX_UNPACKED; room *= 2) {
        uint64_t memory = LZMA_MEMORY;
        size_t in = 0, out = 0;
        char *image = malloc(room);
        int r = image
                    ? libelf.lzma_decode(&memory, 0, NULL, xz, &in, n, (uint8_t *)image, &out, room)
                    : -1;
        if (r == 0) {
            *ret_n = out;
            return image;
        }
        free(image);
        if (r != LZMA_BUF_ERROR)
            return NULL;
    }
    return NULL;
}

static bool open_debugdata(struct elf_names *x) {
    struct elf_section section;
    if (!libelf.lzma_decode || !elf_file_section(x->file, ".gnu_debugdata", &section) ||
        section.size > MAX_XZ)
        return false;
    uint8_t *xz = malloc(section.size);
    size_t n = 0;
    char *image = xz && elf_file_read(x->file, section.offset, xz, section.size)
                      ? unpack_xz(xz, section.size, &n)
                      : NULL;
    free(xz);
    return image && elf_file_open_image(&x->debugdata, image, n) == 0;
}

/* PLT
 * ---------------------------------------------------------------------------------------------- */

/*
 * Entry i of .plt (behind a header) and of .plt.sec (without) jumps through relocation i. What is
 * left of the section after 16 bytes per relocation is the header, on x86-64 and on aarch64; a
 * linker that does it otherwise leaves an odd remainder and gets no names.
 */
static void name_plt(struct elf_names *x, const char *name, struct wanted *w, size_t n) {
    struct elf_section plt, rela, dynsym;
    if (!elf_file_section(x->file, name, &plt))
        return;
    size_t i = wanted_first(w, n, plt.offset);
    if (i == n || w[i].at >= plt.offset + plt.size ||
        !elf_file_section(x->file, ".rela.plt", &rela) ||
        !elf_file_section(x->file, ".dynsym", &dynsym) ||
        (!x->strings[ELF_PLT].file && !strings_open(&x->strings[ELF_PLT], x->file, dynsym.link, n)))
        return;
    uint64_t n_rela = rela.size / sizeof(Elf64_Rela), header = plt.size - n_rela * PLT_ENTRY;
    if (header != 0 && header != 16 && header != 32)
        return;
    for (; i < n && w[i].at < plt.offset + plt.size; i++) {
        uint64_t entry = (w[i].at - plt.offset - header) / PLT_ENTRY;
        Elf64_Rela r;
        Elf64_Sym y;
        if (w[i].best.table || w[i].at < plt.offset + header ||
            !elf_file_read(x->file, rela.offset + entry * sizeof r, &r, sizeof r) ||
            !elf_file_read(x->file, dynsym.offset + ELF64_R_SYM(r.r_info) * sizeof y, &y, sizeof y))
            continue;
        if (ELF64_R_SYM(r.r_info) && y.st_name)
            w[i].best = (struct candidate){.start = plt.offset + header + entry * PLT_ENTRY,
                                           .name = y.st_name,
                                           .table = ELF_PLT};
    }
}

/* -------------------------------------------------------------------------------------------------
 */

struct elf_names *elf_names_new(const struct elf_file *f, struct wanted *w, size_t n) {
    struct elf_names *x = calloc(1, sizeof *x);
    if (!x || n == 0)
        return x;
    x->file = f;
    x->debugdata.fd = -1;
    if (!(x->addresses = malloc(n * sizeof *x->addresses)))
        return elf_names_free(x);
    for (size_t i = 0; i < n; i++)
        x->addresses[i] = w[i].at;
    scan_table(x, f, ELF_SYMTAB, w, n);
    if (!all_named(w, n) && !symtab_is_whole(f))
        scan_table(x, f, ELF_DYNSYM, w, n);
    if (!all_named(w, n)) {
        name_plt(x, ".plt", w, n);
        name_plt(x, ".plt.sec", w, n);
    }
    if (!all_named(w, n) && open_debugdata(x))
        scan_table(x, &x->debugdata, ELF_DEBUGDATA, w, n);
    settle_sizeless(w, n);
    return x;
}

struct elf_names *elf_names_free(struct elf_names *x) {
    if (!x)
        return NULL;
    for (unsigned i = 0; i < ELF_TABLES; i++)
        free(x->strings[i].whole);
    elf_file_done(&x->debugdata);
    free(x->addresses);
    free(x);
    return NULL;
}

const char *elf_names_text(struct elf_names *x, const struct candidate *c) {
    char *text = x->scratch[0];
    const char *name = name_at(&x->strings[c->table], c->name, text);
    size_t n = strcspn(name, "@");
    if (n > ELF_NAME_MAX - sizeof "@plt")
        n = ELF_NAME_MAX - sizeof "@plt";
    memmove(text, name, n);
    strcpy(text + n, c->table == ELF_PLT ? "@plt" : "");
    return text;
}
