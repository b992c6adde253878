/*
 * Says how the doors of malloc are made, by comparing them with the library's file, and what
 * dlerror() has to say at the start of a program. Then `site` makes and keeps a thousand blocks of
 * 100 bytes, half of them by realloc and calloc, and makes and frees as many.
 *
 *     heap_doors             as the agent finds it
 *     heap_doors forbidden   where no memory may become executable, as systemd's
 *                            MemoryDenyWriteExecute= has it: by prctl, or by a filter on a kernel
 *                            before 6.3
 *     heap_doors filtered    by a filter
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BLOCKS = 1000, BYTES = 100, LOOK_AT = 16, JUMP = 0xe9, SET_MDWE = 65 };

static off_t file_offset(const char *base, const char *p) {
    const ElfW(Ehdr) *header = (const void *)base;
    const ElfW(Phdr) *part = (const void *)(base + header->e_phoff);
    size_t at = (size_t)(p - base);
    for (int i = 0; i < header->e_phnum; i++)
        if (part[i].p_type == PT_LOAD && at - part[i].p_vaddr < part[i].p_memsz)
            return (off_t)(at - part[i].p_vaddr + part[i].p_offset);
    return -1;
}

static const char *made(const char *name) {
    const unsigned char *door = dlsym(RTLD_DEFAULT, name);
    unsigned char compiled[LOOK_AT];
    Dl_info info;
    if (!dladdr(door, &info))
        return "not to be found";
    int file = open(info.dli_fname, O_RDONLY);
    off_t at = file_offset(info.dli_fbase, (const char *)door);
    if (pread(file, compiled, sizeof compiled, at) != sizeof compiled)
        return "not to be read";
    close(file);
    if (memcmp(door, compiled, sizeof compiled) == 0)
        return "as compiled";
    return *door == JUMP ? "leads on" : "written";
}

static void filter(void) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog all = {sizeof program / sizeof *program, program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all) != 0)
        abort();
}

static void *kept[BLOCKS];

__attribute__((noinline)) static void site(void) {
    for (int i = 0; i < BLOCKS; i++) {
        free(malloc(BYTES));
        kept[i] = i % 2 ? calloc(1, BYTES) : realloc(malloc(BYTES / 2), BYTES);
    }
}

int main(int argc, char **argv) {
    static const char *const names[] = {"malloc", "calloc", "realloc", "free"};
    if (argc > 1) {
        if (strcmp(argv[1], "filtered") == 0 || prctl(SET_MDWE, 1, 0, 0, 0) != 0)
            filter();
        execl("/proc/self/exe", argv[0], (char *)NULL);
        abort();
    }
    const char *error = dlerror();
    if (error)
        printf("dlerror: %s\n", error);
    for (int i = 0; i < 4; i++)
        printf("%s %s\n", names[i], made(names[i]));
    site();
    return 0;
}
