#pragma once
/*
 * One ELF file, or an image of one in memory, opened for reading. libelf finds the headers;
 * contents are read with pread(2) in pieces, because libelf would keep every section it touched
 * until the end. Addresses are file offsets everywhere: that is what a mapping gives, and it needs
 * no load bias.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/snapshot.h"
#include "symbols/elf_library.h"

struct elf_section {
    uint64_t offset, size, entry_size, link;
};

enum { ELF_MAX_CODE = 8 };

struct elf_file {
    int fd;      /* -1: an image */
    char *image; /* owned */
    uint64_t size;
    Elf *elf;
    struct elf_code {
        uint64_t address, size, offset;
    } code[ELF_MAX_CODE]; /* executable segments */
    unsigned n_code;
};

/* Opens the file of a mapping and checks that it is the file that was mapped: 0, -ESTALE, -errno.
 */
int elf_file_open(struct elf_file *f, const struct snapshot_mapping *m);
/* An image of n bytes from malloc, which it takes, also when it fails. 0 or -errno. */
int elf_file_open_image(struct elf_file *f, char *image, size_t n);
void elf_file_done(struct elf_file *f);

/* All n bytes or false. */
bool elf_file_read(const struct elf_file *f, uint64_t offset, void *to, size_t n);
/* The section of that name, as far as the file really holds it. */
bool elf_file_section(const struct elf_file *f, const char *name, struct elf_section *ret_section);
/* The section of that number. */
bool elf_file_section_at(const struct elf_file *f, uint64_t number,
                         struct elf_section *ret_section);
/* False when the address is not in executable memory. */
static inline bool elf_file_offset(const struct elf_file *f, uint64_t address,
                                   uint64_t *ret_offset) {
    for (unsigned i = 0; i < f->n_code; i++)
        if (address - f->code[i].address < f->code[i].size) {
            *ret_offset = address - f->code[i].address + f->code[i].offset;
            return true;
        }
    return false;
}
