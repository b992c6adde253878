#include "tools/binary.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { SCRIPT_DEPTH = 4, HEADERS_MAX = 4096 };

#if defined(__aarch64__)
enum { OUR_MACHINE = EM_AARCH64 };
#else
enum { OUR_MACHINE = EM_X86_64 };
#endif

static bool copy_path(char *to, size_t n, const char *from) {
    return (size_t)snprintf(to, n, "%s", from) < n;
}

static bool is_program(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static bool find(const char *program, char *path, size_t n) {
    if (strchr(program, '/'))
        return copy_path(path, n, program) && access(path, F_OK) == 0;
    const char *dirs = getenv("PATH");
    for (const char *d = dirs ? dirs : "/bin:/usr/bin"; d;) {
        size_t len = strcspn(d, ":");
        int w = len ? snprintf(path, n, "%.*s/%s", (int)len, d, program)
                    : snprintf(path, n, "./%s", program);
        if ((size_t)w < n && is_program(path))
            return true;
        d = d[len] ? d + len + 1 : NULL;
    }
    return false;
}

static bool read_at(int fd, void *to, size_t n, uint64_t at) {
    return pread(fd, to, n, (off_t)at) == (ssize_t)n;
}

/* The note's build id, as hex. */
static void read_notes(int fd, uint64_t at, uint64_t size, char *ret_hex, size_t cap) {
    unsigned char notes[1024];
    if (size > sizeof notes || !read_at(fd, notes, size, at))
        return;
    for (size_t i = 0; i + sizeof(Elf64_Nhdr) <= size;) {
        Elf64_Nhdr n;
        memcpy(&n, notes + i, sizeof n);
        size_t name = i + sizeof n, desc = name + ((n.n_namesz + 3u) & ~(size_t)3);
        i = desc + ((n.n_descsz + 3u) & ~(size_t)3);
        if (desc > size || n.n_descsz > size - desc || 2 * (size_t)n.n_descsz >= cap)
            return;
        if (n.n_type != NT_GNU_BUILD_ID || n.n_namesz != 4 || memcmp(notes + name, "GNU", 4) != 0)
            continue;
        for (size_t k = 0; k < n.n_descsz; k++)
            snprintf(ret_hex + 2 * k, 3, "%02x", notes[desc + k]);
        return;
    }
}

static void read_sections(int fd, const Elf64_Ehdr *e, struct binary *b) {
    if (e->e_shentsize != sizeof(Elf64_Shdr) || !e->e_shnum || e->e_shnum > HEADERS_MAX ||
        e->e_shstrndx >= e->e_shnum)
        return;
    Elf64_Shdr names;
    if (!read_at(fd, &names, sizeof names, e->e_shoff + e->e_shstrndx * sizeof names))
        return;
    for (unsigned i = 0; i < e->e_shnum; i++) {
        Elf64_Shdr s;
        char name[20] = {0};
        if (!read_at(fd, &s, sizeof s, e->e_shoff + i * sizeof s))
            return;
        if (pread(fd, name, sizeof name - 1, (off_t)(names.sh_offset + s.sh_name)) < 0)
            return;
        b->has_symtab |= s.sh_type == SHT_SYMTAB;
        b->has_dynsym |= s.sh_type == SHT_DYNSYM;
        b->has_debugdata |= strcmp(name, ".gnu_debugdata") == 0;
        b->has_dwarf |= strcmp(name, ".debug_info") == 0;
    }
}

/* File offset of a virtual address, 0 when no segment holds it. */
static uint64_t file_offset(const Elf64_Phdr *p, unsigned n, uint64_t address) {
    for (unsigned i = 0; i < n; i++)
        if (p[i].p_type == PT_LOAD && address >= p[i].p_vaddr &&
            address - p[i].p_vaddr < p[i].p_filesz)
            return p[i].p_offset + (address - p[i].p_vaddr);
    return 0;
}

static bool is_sanitizer(const char *soname) {
    static const char *const runtimes[] = {"libasan.", "libtsan.",   "libmsan.",
                                           "liblsan.", "libhwasan.", "libclang_rt."};
    for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes; i++)
        if (strncmp(soname, runtimes[i], strlen(runtimes[i])) == 0)
            return true;
    return false;
}

static void read_dynamic(int fd, const Elf64_Phdr *p, unsigned n, unsigned at, struct binary *b) {
    uint64_t strings = 0;
    size_t count = p[at].p_filesz / sizeof(Elf64_Dyn);
    /* Twice: the string table may stand behind the names that point into it. */
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < count; i++) {
            Elf64_Dyn d;
            char soname[24] = {0};
            if (!read_at(fd, &d, sizeof d, p[at].p_offset + i * sizeof d) || d.d_tag == DT_NULL)
                break;
            if (pass == 0 && d.d_tag == DT_STRTAB)
                strings = file_offset(p, n, d.d_un.d_ptr);
            if (pass == 1 && d.d_tag == DT_NEEDED && strings &&
                pread(fd, soname, sizeof soname - 1, (off_t)(strings + d.d_un.d_val)) > 0)
                b->has_sanitizer |= is_sanitizer(soname);
        }
}

static enum binary_trouble read_elf(int fd, const Elf64_Ehdr *e, struct binary *b) {
    if (e->e_ident[EI_CLASS] != ELFCLASS64 || e->e_ident[EI_DATA] != ELFDATA2LSB ||
        e->e_machine != OUR_MACHINE)
        return BINARY_WRONG_CLASS;
    if (e->e_phentsize != sizeof(Elf64_Phdr) || e->e_phnum > HEADERS_MAX)
        return BINARY_UNREADABLE;
    Elf64_Phdr *p = calloc(e->e_phnum + 1u, sizeof *p);
    char interpreter[256] = {0};
    bool dynamic = false;
    if (p && read_at(fd, p, e->e_phnum * sizeof *p, e->e_phoff))
        for (unsigned i = 0; i < e->e_phnum; i++) {
            if (p[i].p_type == PT_NOTE)
                read_notes(fd, p[i].p_offset, p[i].p_filesz, b->build_id, sizeof b->build_id);
            if (p[i].p_type == PT_DYNAMIC)
                read_dynamic(fd, p, e->e_phnum, i, b);
            if (p[i].p_type != PT_INTERP)
                continue;
            dynamic = true;
            size_t n = p[i].p_filesz < sizeof interpreter ? p[i].p_filesz : sizeof interpreter - 1;
            if (!read_at(fd, interpreter, n, p[i].p_offset))
                interpreter[0] = '\0';
        }
    free(p);
    read_sections(fd, e, b);
    if (!dynamic)
        return BINARY_STATIC;
    return strstr(interpreter, "/ld-musl") ? BINARY_MUSL : BINARY_FINE;
}

/* The kernel's rule for AT_SECURE: the file would give us something that we do not have. */
static bool privileged(int fd, const char *path) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return false;
    if ((st.st_mode & S_ISUID) && st.st_uid != getuid())
        return true;
    if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getgid())
        return true;
    return getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0;
}

/* The interpreter of "#!/usr/bin/env -S python3 -u" is python3; of "#!/bin/sh -e" it is /bin/sh. */
static bool script_interpreter(char *line, char *ret_program, size_t cap) {
    char *rest = line + 2;
    rest[strcspn(rest, "\n")] = '\0';
    char *save, *word = strtok_r(rest, " \t", &save);
    if (!word)
        return false;
    const char *base = strrchr(word, '/');
    if (strcmp(base ? base + 1 : word, "env") == 0)
        for (char *w; (w = strtok_r(NULL, " \t", &save));)
            if (*w != '-' && !strchr(w, '='))
                return copy_path(ret_program, cap, w);
    return copy_path(ret_program, cap, word);
}

static enum binary_trouble inspect(struct binary *b, const char *program, int depth) {
    char script[4096];
    if (!find(program, b->runs, sizeof b->runs))
        return BINARY_MISSING;
    if (depth == 0)
        memcpy(b->path, b->runs, sizeof b->path);
    int fd = open(b->runs, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return BINARY_UNREADABLE;
    union {
        Elf64_Ehdr elf;
        char text[256];
    } head = {0};
    enum binary_trouble r = BINARY_UNREADABLE;
    ssize_t n = pread(fd, &head, sizeof head - 1, 0);
    if (n >= (ssize_t)sizeof head.elf && memcmp(head.elf.e_ident, ELFMAG, SELFMAG) == 0) {
        r = read_elf(fd, &head.elf, b);
        if (r == BINARY_FINE && privileged(fd, b->runs))
            r = BINARY_PRIVILEGED;
    } else if (n >= 2 && memcmp(head.text, "#!", 2) == 0) {
        b->is_script = true;
        if (depth < SCRIPT_DEPTH && script_interpreter(head.text, script, sizeof script))
            r = inspect(b, script, depth + 1);
    }
    close(fd);
    return r;
}

void binary_inspect(struct binary *ret_binary, const char *program) {
    *ret_binary = (struct binary){0};
    ret_binary->trouble = inspect(ret_binary, program, 0);
    if (!ret_binary->path[0])
        copy_path(ret_binary->path, sizeof ret_binary->path, program);
}

char *binary_explain(const struct binary *b, char *buf, size_t n) {
    static const char *const words[] = {
        [BINARY_FINE] = "",
        [BINARY_MISSING] = "is not there",
        [BINARY_UNREADABLE] = "cannot be examined: no read permission, or neither ELF nor a script",
        [BINARY_STATIC] =
            "is statically linked: it has no loader that could preload a library, so there "
            "will be no profile of it (dynamic programs it starts are profiled)",
        [BINARY_WRONG_CLASS] =
            "is for another machine or 32-bit: the loader skips libcprof.so with a "
            "message, and there will be no profile of it",
        [BINARY_MUSL] =
            "is linked against musl: libcprof.so needs the GNU C library and would keep it "
            "from starting",
        [BINARY_PRIVILEGED] =
            "is setuid, setgid or has file capabilities: the loader ignores LD_PRELOAD "
            "for it, and there will be no profile of it",
    };
    if (b->trouble == BINARY_FINE)
        buf[0] = '\0';
    else if (b->is_script)
        snprintf(buf, n, "%s is a script, and its interpreter %s %s", b->path, b->runs,
                 words[b->trouble]);
    else
        snprintf(buf, n, "%s %s", b->path, words[b->trouble]);
    return buf;
}
