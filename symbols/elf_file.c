#include "symbols/elf_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/sys.h"

bool elf_file_read(const struct elf_file *f, uint64_t offset, void *to, size_t n) {
    if (offset > f->size || n > f->size - offset)
        return false;
    if (f->fd < 0) {
        memcpy(to, f->image + offset, n);
        return true;
    }
    for (size_t done = 0; done < n;) {
        ssize_t r = sys_pread(f->fd, (char *)to + done, n - done, (off_t)(offset + done));
        if (r <= 0)
            return false;
        done += (size_t)r;
    }
    return true;
}

static bool section_of(const struct elf_file *f, Elf_Scn *scn, GElf_Shdr *header,
                       struct elf_section *ret_section) {
    if (!scn || !libelf.gelf_getshdr(scn, header) || header->sh_offset > f->size)
        return false;
    bool empty = header->sh_type == SHT_NOBITS;
    uint64_t there = f->size - header->sh_offset;
    *ret_section = (struct elf_section){
        .offset = header->sh_offset,
        .size = empty                     ? 0
                : header->sh_size < there ? header->sh_size
                                          : there,
        .entry_size = header->sh_entsize,
        .link = header->sh_link,
    };
    return true;
}

bool elf_file_section_at(const struct elf_file *f, uint64_t number,
                         struct elf_section *ret_section) {
    GElf_Shdr header;
    return section_of(f, libelf.elf_getscn(f->elf, number), &header, ret_section);
}

bool elf_file_section(const struct elf_file *f, const char *name, struct elf_section *ret_section) {
    size_t names;
    if (libelf.elf_getshdrstrndx(f->elf, &names) != 0)
        return false;
    for (Elf_Scn *scn = NULL; (scn = libelf.elf_nextscn(f->elf, scn));) {
        GElf_Shdr header;
        struct elf_section found;
        if (!section_of(f, scn, &header, &found) || !found.size)
            continue;
        const char *its = libelf.elf_strptr(f->elf, names, header.sh_name);
        if (its && strcmp(its, name) == 0) {
            *ret_section = found;
            return true;
        }
    }
    return false;
}

/* Build id ----------------------------------------------------------------------------------------
 */

enum { MAX_NOTES = 4096 };

/* True when a note of this segment is the build id; it is written as hex to id. */
static bool build_id_in(const struct elf_file *f, const GElf_Phdr *segment, char id[65]) {
    char notes[MAX_NOTES];
    size_t n = segment->p_filesz < MAX_NOTES ? segment->p_filesz : MAX_NOTES;
    size_t align = segment->p_align == 8 ? 8 : 4;
    if (!elf_file_read(f, segment->p_offset, notes, n))
        return false;
    for (size_t at = 0; at + sizeof(Elf64_Nhdr) <= n;) {
        Elf64_Nhdr note;
        memcpy(&note, notes + at, sizeof note);
        size_t name = at + sizeof note;
        size_t desc = name + ((note.n_namesz + align - 1) & ~(align - 1));
        size_t next = desc + ((note.n_descsz + align - 1) & ~(align - 1));
        if (desc > n || note.n_descsz > n - desc)
            return false;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
            !memcmp(notes + name, "GNU", 4)) {
            size_t i = 0;
            for (; i < note.n_descsz && 2 * i + 2 < 65; i++) {
                unsigned char byte = (unsigned char)notes[desc + i];
                id[2 * i] = "0123456789abcdef"[byte >> 4];
                id[2 * i + 1] = "0123456789abcdef"[byte & 15];
            }
            id[2 * i] = '\0';
            return true;
        }
        at = next;
    }
    return false;
}

/*
 * The build id is proof both ways. Without one on either side the inode has to do; the device does
 * not count, because overlayfs shows one in /proc/self/maps and another in stat(2).
 */
static bool is_the_mapped_file(const struct elf_file *f, const struct snapshot_mapping *m,
                               uint64_t inode, const char *build_id) {
    if (*m->build_id && *build_id)
        return strcmp(m->build_id, build_id) == 0;
    if (*m->build_id)
        return false;
    return !m->inode || m->inode == inode;
}

/* Open and done
 * ------------------------------------------------------------------------------------ */

static int read_headers(struct elf_file *f, char build_id[65]) {
    build_id[0] = '\0';
    size_t n_ident = 0, n = 0;
    const char *ident = f->elf ? libelf.elf_getident(f->elf, &n_ident) : NULL;
    if (!ident || n_ident < EI_NIDENT || memcmp(ident, ELFMAG, SELFMAG) != 0 ||
        ident[EI_CLASS] != ELFCLASS64 || ident[EI_DATA] != ELFDATA2LSB)
        return -ENOEXEC;
    if (libelf.elf_getphdrnum(f->elf, &n) != 0)
        return -ENOEXEC;
    for (size_t i = 0; i < n; i++) {
        GElf_Phdr segment;
        if (!libelf.gelf_getphdr(f->elf, (int)i, &segment))
            return -ENOEXEC;
        if (segment.p_type == PT_LOAD && (segment.p_flags & PF_X) && f->n_code < ELF_MAX_CODE)
            f->code[f->n_code++] =
                (struct elf_code){segment.p_vaddr, segment.p_filesz, segment.p_offset};
        if (segment.p_type == PT_NOTE && !*build_id)
            build_id_in(f, &segment, build_id);
    }
    return 0;
}

int elf_file_open(struct elf_file *f, const struct snapshot_mapping *m) {
    struct stat st;
    *f = (struct elf_file){.fd = -1};
    /* A mapped device is not opened: that may do things. */
    int r = sys_stat(m->path, &st);
    if (r == 0 && !S_ISREG(st.st_mode))
        r = -ENOEXEC;
    if (r == 0)
        r = f->fd = sys_open(m->path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (r >= 0)
        r = sys_fstat(f->fd, &st);
    if (r < 0) {
        elf_file_done(f);
        return r;
    }
    f->size = (uint64_t)st.st_size;
    f->elf = libelf.elf_begin(f->fd, ELF_C_READ, NULL);
    char build_id[65];
    r = read_headers(f, build_id);
    if (r == 0 && !is_the_mapped_file(f, m, st.st_ino, build_id))
        r = -ESTALE;
    if (r < 0)
        elf_file_done(f);
    return r;
}

int elf_file_open_image(struct elf_file *f, char *image, size_t n) {
    *f = (struct elf_file){.fd = -1, .image = image, .size = n, .elf = libelf.elf_memory(image, n)};
    char build_id[65];
    int r = read_headers(f, build_id);
    if (r < 0)
        elf_file_done(f);
    return r;
}

void elf_file_done(struct elf_file *f) {
    if (f->elf)
        libelf.elf_end(f->elf);
    if (f->fd >= 0)
        sys_close(f->fd);
    free(f->image);
    *f = (struct elf_file){.fd = -1};
}
