#pragma once
/*
 * Which function of an ELF file covers an address. Tables in order: .symtab, .dynsym,
 * .gnu_debugdata (Fedora's compressed .symtab of what a stripped file lost), then the PLT. Among
 * symbols that cover the same address the last to start wins, then: not local, fewer leading
 * underscores ("malloc", not
 * "__libc_malloc"; "poll" is weak and "__poll" global, so this goes first), not weak, shorter,
 * first. A symbol without size names what lies between it and the next symbol of its section.
 */
#include "symbols/elf_file.h"
#include "symbols/wanted.h"

enum elf_table { ELF_NONE, ELF_PLT, ELF_DEBUGDATA, ELF_DYNSYM, ELF_SYMTAB, ELF_TABLES };
enum { ELF_NAME_MAX = 8 << 10 }; /* longer names are cut */

struct elf_strings {
    const struct elf_file *file;
    uint64_t offset, size;
    char *whole; /* NULL: too large to keep, read one by one */
};

struct elf_names {
    const struct elf_file *file;
    struct elf_file debugdata;
    uint64_t *addresses; /* w[i].at, sorted, side by side for the search */
    struct elf_strings strings[ELF_TABLES];
    char scratch[2][ELF_NAME_MAX];
};

/* Sets best of each of the n sorted addresses that has a function. NULL without memory. */
struct elf_names *elf_names_new(const struct elf_file *f, struct wanted *w, size_t n);
struct elf_names *elf_names_free(struct elf_names *x);
/* The linker's name, without symbol version; good until the next call. */
const char *elf_names_text(struct elf_names *x, const struct candidate *c);
