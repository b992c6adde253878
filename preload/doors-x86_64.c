/*
 * CALM. The doors as instructions. No memory is ever writable and executable at once: a copy of the
 * pages is written, made executable, and moved over them by one system call, so that a thread, a
 * handler or a fork finds either the old page or the new one. The copy is a private mapping of the
 * library's own file at the same offset, because what belongs to no file has no name in a profile.
 *
 * None of them touches the stack: the compiled ones do not either, so their unwind tables hold for
 * both. (Builds without optimization take doors-fallback.c.)
 */
#include "preload/doors.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/filter.h"
#include "agent/self.h"
#include "common/sys.h"
#include "preload/real.h"

enum { PAGE_BYTES = 4096, BREAKPOINT = 0xcc, LINKS_OF_ONE_THREAD = 3 };

/* Of the section, by the linker. */
extern uint8_t doors_begin[] __asm__("__start_doors") __attribute__((visibility("hidden")));
extern uint8_t doors_end[] __asm__("__stop_doors") __attribute__((visibility("hidden")));

struct writer {
    uint8_t *copy, *page; /* of the same bytes: where they are written, where they will run */
    uint8_t *at;          /* in the copy */
    bool fits;            /* all distances so far are below 2 GiB */
};

static void put(struct writer *w, const void *code, size_t n) {
    memcpy(w->at, code, n);
    w->at += n;
}

#define CODE(w, ...) put((w), (const uint8_t[]){__VA_ARGS__}, sizeof(const uint8_t[]){__VA_ARGS__})

static void put_32(struct writer *w, intptr_t value) {
    int32_t narrow = (int32_t)value;
    w->fits = w->fits && narrow == value;
    put(w, &narrow, sizeof narrow);
}

/* Distances count from behind themselves, with which an instruction ends. */
static void put_distance(struct writer *w, const void *to) {
    put_32(w, (intptr_t)to - (intptr_t)(w->page + (w->at + 4 - w->copy)));
}

/* Of the registers that a size comes in. */
enum reg { AX = 0, SI = 6, DI = 7 };

static intptr_t thread_pointer(void) {
    intptr_t p;
    __asm__("movq %%fs:0, %0" : "=r"(p));
    return p;
}

/* sys_count_down(&self.left_bytes, size), and on to due when it ran out. */
static void put_countdown(struct writer *w, enum reg size, const void *due) {
    CODE(w, 0xf9);                                     /* stc */
    CODE(w, 0x64, 0x48, 0x19, 0x04 | size << 3, 0x25); /* sbb size, %fs:left_bytes */
    put_32(w, (intptr_t)&self.left_bytes - thread_pointer());
    CODE(w, 0x0f, 0x82); /* jb due */
    put_distance(w, due);
}

/* filter_maybe(rdi), and on to perhaps when it says so. */
static void put_filter(struct writer *w, const void *perhaps) {
    _Static_assert(sizeof(filter_pages) == (size_t)1 << (32 - FILTER_PAGE_BITS), "mod 4 GiB");
    CODE(w, 0x89, 0xf8);       /* mov %edi, %eax */
    CODE(w, 0x48, 0x8d, 0x15); /* lea filter_pages(%rip), %rdx */
    put_distance(w, filter_pages);
    CODE(w, 0xc1, 0xe8, FILTER_PAGE_BITS);    /* shr $12, %eax */
    CODE(w, 0x80, 0x3c, 0x02, 0, 0x0f, 0x85); /* cmpb $0, (%rdx,%rax); jne perhaps */
    put_distance(w, perhaps);
}

static void put_way_on(struct writer *w, const void *real_function) {
    CODE(w, 0xe9); /* jmp real_function */
    put_distance(w, real_function);
}

static void write_malloc(struct writer *w) { put_countdown(w, DI, (void *)malloc_due); }

static void write_calloc(struct writer *w) {
    CODE(w, 0x48, 0x89, 0xf8, 0x48, 0x0f, 0xaf, 0xc6); /* mov %rdi, %rax; imul %rsi, %rax */
    put_countdown(w, AX, (void *)calloc_due);
}

static void write_realloc(struct writer *w) {
    put_countdown(w, SI, (void *)realloc_due);
    put_filter(w, (void *)realloc_kept);
}

static void write_free(struct writer *w) { put_filter(w, (void *)free_due); }

static const struct door {
    void *door;
    void (*write)(struct writer *w);
    void *const *real;
} doors[] = {
    {(void *)malloc, write_malloc, (void *const *)&real.malloc},
    {(void *)calloc, write_calloc, (void *const *)&real.calloc},
    {(void *)realloc, write_realloc, (void *const *)&real.realloc},
    {(void *)free, write_free, (void *const *)&real.free},
};

/* False when it is no place for one, or has a debugger's breakpoint. */
static bool write_door(struct writer *w, const struct door *d, bool straight) {
    uint8_t *door = d->door;
    if (door < doors_begin || door >= doors_end || *door == BREAKPOINT)
        return false;
    size_t room = (size_t)(doors_end - door) < DOOR_BYTES ? (size_t)(doors_end - door) : DOOR_BYTES;
    uint8_t *start = w->at = w->copy + (door - w->page);
    if (!straight)
        d->write(w);
    put_way_on(w, *d->real);
    return w->fits && w->at <= start + room;
}

static bool write_doors(struct writer *w, bool straight) {
    for (size_t i = 0; i < sizeof doors / sizeof *doors; i++)
        if (!write_door(w, &doors[i], straight))
            return false;
    return true;
}

/* Where in its file a page of the library is, or -1. */
static off_t offset_of(const uint8_t *base, const uint8_t *page) {
    const ElfW(Ehdr) *header = (const void *)base;
    const ElfW(Phdr) *part = (const void *)(base + header->e_phoff);
    uintptr_t at = (uintptr_t)(page - base);
    for (unsigned i = 0; i < header->e_phnum; i++)
        if (part[i].p_type == PT_LOAD && at - part[i].p_vaddr < part[i].p_memsz)
            return (off_t)(at - part[i].p_vaddr + part[i].p_offset);
    return -1;
}

/* Private, to be written: what a file no longer reaches cannot be (SIGBUS). */
static uint8_t *map_file(int file, off_t offset, size_t bytes) {
    struct stat st;
    if (sys_fstat(file, &st) != 0 || offset + (off_t)bytes >= st.st_size + PAGE_BYTES)
        return NULL;
    long p = sys_call_6(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, offset);
    return p < 0 && p > -PAGE_BYTES ? NULL : (uint8_t *)p;
}

/* The same bytes elsewhere; NULL when refused. */
static uint8_t *copy_pages(const uint8_t *page, size_t bytes) {
    Dl_info info;
    if (!dladdr(page, &info) || !info.dli_fname)
        return NULL;
    off_t offset = offset_of(info.dli_fbase, page);
    int file = offset < 0 ? -1 : sys_open(info.dli_fname, O_RDONLY, 0);
    if (file < 0)
        return NULL;
    uint8_t *copy = map_file(file, offset, bytes);
    sys_close(file);
    return copy ? memcpy(copy, page, bytes) : NULL;
}

static bool put_in_place(uint8_t *copy, uint8_t *page, size_t bytes) {
    return sys_call_3(SYS_mprotect, copy, bytes, PROT_READ | PROT_EXEC) == 0 &&
           sys_call_5(SYS_mremap, copy, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, page) ==
               (long)page;
}

static bool is_one_thread(void) {
    struct stat st;
    return sys_stat("/proc/self/task", &st) == 0 && st.st_nlink == LINKS_OF_ONE_THREAD;
}

void doors_write(bool straight) {
    uint8_t *page = (uint8_t *)((uintptr_t)doors_begin & ~(uintptr_t)(PAGE_BYTES - 1));
    size_t bytes = ((size_t)(doors_end - page) + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
    if (!real.owns_malloc || !is_one_thread())
        return;
    if (straight && filter_has_pins()) /* the host may free them: its doors have to know them */
        return;
    uint8_t *copy = copy_pages(page, bytes);
    if (!copy)
        return;
    struct writer w = {.copy = copy, .page = page, .fits = true};
    if (!write_doors(&w, straight) || !put_in_place(copy, page, bytes))
        sys_unmap(copy, bytes);
}
