/*
 * The vDSO is an ELF image in memory without section headers to rely on. Its symbol table ends
 * where its string table begins: true of every kernel so far, and checked by calling what was found
 * and comparing with the system call.
 */
#include "common/clock.h"

#include <elf.h>
#include <string.h>
#include <sys/auxv.h>

#include "common/sys.h"

enum { MAX_SYMBOLS = 256, MAX_TAGS = 64 };

typedef int clock_fn(clockid_t clock, struct timespec *ts);

static clock_fn *vdso;

struct image {
    uintptr_t bias;
    const Elf64_Dyn *dynamic;
};

static struct image image_at(uintptr_t base) {
    struct image im = {0};
    const Elf64_Ehdr *e = (const Elf64_Ehdr *)base;
    const Elf64_Phdr *p = (const Elf64_Phdr *)(base + e->e_phoff);
    for (unsigned i = 0; i < e->e_phnum; i++) {
        if (p[i].p_type == PT_LOAD && p[i].p_offset == 0)
            im.bias = base - p[i].p_vaddr;
        if (p[i].p_type == PT_DYNAMIC)
            im.dynamic = (const Elf64_Dyn *)(base + p[i].p_offset);
    }
    return im;
}

static clock_fn *find(uintptr_t base) {
    struct image im = image_at(base);
    const Elf64_Sym *symbols = NULL;
    const char *strings = NULL;
    for (unsigned i = 0; im.dynamic && i < MAX_TAGS && im.dynamic[i].d_tag != DT_NULL; i++) {
        if (im.dynamic[i].d_tag == DT_SYMTAB)
            symbols = (const Elf64_Sym *)(im.bias + im.dynamic[i].d_un.d_ptr);
        if (im.dynamic[i].d_tag == DT_STRTAB)
            strings = (const char *)(im.bias + im.dynamic[i].d_un.d_ptr);
    }
    if (!symbols || (const char *)symbols >= strings)
        return NULL;
    size_t n = (size_t)(strings - (const char *)symbols) / sizeof *symbols;
    for (size_t i = 1; i < n && i < MAX_SYMBOLS; i++) {
        const char *name = strings + symbols[i].st_name;
        if (symbols[i].st_shndx != SHN_UNDEF && (strcmp(name, "__vdso_clock_gettime") == 0 ||
                                                 strcmp(name, "__kernel_clock_gettime") == 0))
            return (clock_fn *)(im.bias + symbols[i].st_value);
    }
    return NULL;
}

static uint64_t to_ns(const struct timespec *ts) {
    return (uint64_t)ts->tv_sec * 1000000000u + (uint64_t)ts->tv_nsec;
}

/* It must tell the time of the system call, between two of them. */
static int works(clock_fn *fn) {
    struct timespec ts;
    uint64_t before = sys_clock_ns(CLOCK_MONOTONIC);
    if (!fn || fn(CLOCK_MONOTONIC, &ts) != 0)
        return 0;
    return before <= to_ns(&ts) && to_ns(&ts) <= sys_clock_ns(CLOCK_MONOTONIC);
}

void clock_load(void) {
    uintptr_t base = getauxval(AT_SYSINFO_EHDR);
    clock_fn *fn = base ? find(base) : NULL;
    if (works(fn))
        __atomic_store_n(&vdso, fn, __ATOMIC_RELEASE);
}

static inline uint64_t read_ns(clockid_t clock) {
    clock_fn *fn = __atomic_load_n(&vdso, __ATOMIC_ACQUIRE);
    struct timespec ts;
    if (fn && fn(clock, &ts) == 0)
        return to_ns(&ts);
    return sys_clock_ns(clock);
}

uint64_t clock_ns(void) { return read_ns(CLOCK_MONOTONIC); }

uint64_t clock_coarse_ns(void) { return read_ns(CLOCK_MONOTONIC_COARSE); }
