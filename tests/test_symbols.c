/* Tests symbols/symbols.c and what it is made of, on files that every machine has: this program and
 * libc. */
#include "symbols/symbols.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "symbols/elf_file.h"

enum { MAX = 64 };

static struct snapshot_mapping mappings[MAX];
static struct snapshot_location locations[MAX];
static struct snapshot s;
static struct symbols_report report;

/* The mapping of /proc/self/maps around an address, as the agent would describe it. */
static int32_t map_of(uint64_t address) {
    static char paths[MAX][4096];
    char line[4400];
    FILE *f = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, f)) {
        unsigned long start, limit, offset, inode;
        unsigned major, minor;
        struct snapshot_mapping *m = &mappings[s.n_mappings];
        char *path = paths[s.n_mappings];
        if (sscanf(line, "%lx-%lx %*s %lx %x:%x %lu %4095[^\n]", &start, &limit, &offset, &major,
                   &minor, &inode, path) < 7 ||
            address < start || address >= limit)
            continue;
        *m = (struct snapshot_mapping){.start = start,
                                       .limit = limit,
                                       .offset = offset,
                                       .path = path,
                                       .dev = makedev(major, minor),
                                       .inode = inode};
        break;
    }
    fclose(f);
    return (int32_t)s.n_mappings++;
}

static void add(uint64_t address, int32_t mapping) {
    locations[s.n_locations++] = (struct snapshot_location){.address = address, .mapping = mapping};
}

static const char *name_of(uint32_t location) {
    const struct snapshot_location *l = &s.locations[location];
    return l->n_lines ? l->lines->name : "(none)";
}

static void setup(void) {
    cr_assert_eq(symbols_load(), 0);
    s = (struct snapshot){.mappings = mappings, .locations = locations};
}

static void teardown(void) { snapshot_done(&s); }

TestSuite(symbols, .init = setup, .fini = teardown);

__attribute__((noinline)) static int a_function_of_this_test(int x) {
    __asm__ volatile("nop\n\tnop\n\tnop\n\tnop");
    return x + 1;
}

Test(symbols, a_static_function_of_the_program_is_named_by_any_address_in_it) {
    uint64_t at = (uint64_t)a_function_of_this_test;
    int32_t mapping = map_of(at);
    add(at, mapping);
    add(at + 3, mapping);
    symbols_name(&s, NULL, &report);
    cr_assert_str_eq(name_of(0), "a_function_of_this_test");
    cr_assert_str_eq(name_of(1), "a_function_of_this_test");
    cr_assert_null(s.locations[0].lines->system_name);
    cr_assert_eq(report.named, 2);
    cr_assert_eq(report.files_read, 1);
    cr_assert_not(mappings[0].has_names, "pprof may still add lines and inlined frames");
}

/* poll and write are weak where __poll is global; malloc is also __libc_malloc; the table has no
 * order. */
Test(symbols, of_several_names_the_one_that_people_use_wins) {
    static const char *const names[] = {"malloc",  "calloc", "poll",      "read",
                                        "write",   "close",  "nanosleep", "fork",
                                        "connect", "send",   "waitpid",   "sigaction"};
    enum { N = sizeof names / sizeof names[0] };
    void *libc = dlopen("libc.so.6", RTLD_NOW);
    int32_t mapping = map_of((uint64_t)dlsym(libc, "malloc"));
    for (unsigned i = 0; i < N; i++)
        add((uint64_t)dlsym(libc, names[i]), mapping);
    symbols_name(&s, NULL, &report);
    for (unsigned i = 0; i < N; i++)
        cr_expect_str_eq(name_of(i), names[i]);
}

Test(symbols, a_second_mapping_of_a_file_does_not_open_it_again) {
    uint64_t at = (uint64_t)a_function_of_this_test;
    add(at, map_of(at));
    add(at, map_of(at));
    symbols_name(&s, NULL, &report);
    cr_assert_str_eq(name_of(1), "a_function_of_this_test");
    cr_assert_eq(report.files_read, 1);
}

Test(symbols, a_stub_of_the_plt_has_the_name_of_its_function) {
    struct elf_file f;
    struct elf_section plt;
    mappings[0] = (struct snapshot_mapping){.limit = UINT64_MAX, .path = "/proc/self/exe"};
    s.n_mappings = 1;
    cr_assert_eq(elf_file_open(&f, mappings), 0);
    if (!elf_file_section(&f, ".plt", &plt))
        cr_skip_test("no PLT");
    elf_file_done(&f);
    add(plt.offset + plt.size - 16, 0);
    add(plt.offset + plt.size - 1, 0);
    symbols_name(&s, NULL, &report);
    cr_assert(strstr(name_of(0), "@plt"), "%s", name_of(0));
    cr_assert_str_eq(name_of(0), name_of(1));
}

Test(symbols, the_vdso_is_read_from_memory) {
    uint64_t at = getauxval(AT_SYSINFO_EHDR);
    if (!at)
        cr_skip_test("no vdso");
    int32_t mapping = map_of(at);
    cr_assert_str_eq(mappings[mapping].path, "[vdso]");
    for (unsigned i = 0; i < 60; i++)
        add(at + 0x400 + 64 * i, mapping);
    symbols_name(&s, NULL, &report);
    bool found = false;
    for (unsigned i = 0; i < 60; i++)
        found |= strstr(name_of(i), "clock_gettime") || strstr(name_of(i), "getcpu");
    cr_assert(found);
    cr_assert_eq(report.files_read, 0);
}

Test(symbols, a_vdso_at_another_place_is_another_process) {
    uint64_t at = getauxval(AT_SYSINFO_EHDR);
    if (!at)
        cr_skip_test("no vdso");
    int32_t mapping = map_of(at);
    uint64_t n = mappings[mapping].limit - at, moved = (uint64_t)malloc(n);
    memcpy((void *)moved, (const void *)at, n);
    mappings[mapping].start = moved;
    mappings[mapping].limit = moved + n;
    for (unsigned i = 0; i < 60; i++)
        add(moved + 0x400 + 64 * i, mapping);
    symbols_name(&s, NULL, &report);
    cr_assert_eq(report.unnamed, 60);
}

static char copy[] = "/tmp/test-symbols-XXXXXX";

/* A copy of this program, n bytes of it (0: all), and a mapping of its text at its true offsets. */
static void copy_program(off_t n) {
    int in = open("/proc/self/exe", O_RDONLY), out = mkstemp(copy);
    static char buffer[65536];
    for (ssize_t r; (r = read(in, buffer, sizeof buffer)) > 0;)
        cr_assert_eq(write(out, buffer, (size_t)r), r);
    struct stat st;
    fstat(out, &st);
    if (n)
        cr_assert_eq(ftruncate(out, n), 0);
    close(in);
    close(out);
    int32_t mapping = map_of((uint64_t)a_function_of_this_test);
    mappings[mapping].path = copy;
    mappings[mapping].inode = st.st_ino;
    add((uint64_t)a_function_of_this_test, mapping);
}

Test(symbols, a_file_with_another_build_id_is_stale) {
    copy_program(0);
    strcpy(mappings[0].build_id, "00112233445566778899aabbccddeeff00112233");
    symbols_name(&s, NULL, &report);
    unlink(copy);
    cr_assert_str_eq(name_of(0), "(none)");
    cr_assert_eq(report.files_stale, 1);
    cr_assert_eq(report.files_read, 0);
}

Test(symbols, a_replaced_file_is_stale_also_without_build_ids) {
    copy_program(0);
    mappings[0].inode++;
    symbols_name(&s, NULL, &report);
    cr_assert_str_eq(name_of(0), "(none)");
    cr_assert_eq(report.files_stale, 1);
    mappings[0].inode--;
    symbols_name(&s, NULL, &report);
    unlink(copy);
    cr_assert_str_eq(name_of(0), "a_function_of_this_test");
}

Test(symbols, a_deleted_file_and_what_is_no_file_are_stale) {
    copy_program(0);
    unlink(copy);
    symbols_name(&s, NULL, &report);
    cr_assert_eq(report.files_stale, 1);
    mappings[0].path = "/proc/self";
    mappings[0].inode = 0;
    symbols_name(&s, NULL, &report);
    cr_assert_eq(report.files_stale, 1);
    cr_assert_str_eq(name_of(0), "(none)");
}

Test(symbols, a_file_cut_anywhere_gives_no_wrong_name) {
    copy_program(0);
    struct stat st;
    cr_assert_eq(stat(copy, &st), 0);
    for (int i = 63; i >= 0; i--) {
        cr_assert_eq(truncate(copy, st.st_size / 64 * i), 0);
        locations[0].n_lines = 0;
        symbols_name(&s, NULL, &report);
        cr_assert(!strcmp(name_of(0), "(none)") || !strcmp(name_of(0), "a_function_of_this_test"));
    }
    unlink(copy);
}

Test(symbols, a_file_of_noise_behind_its_header_is_survived) {
    copy_program(0);
    FILE *f = fopen(copy, "r+");
    srand(1);
    for (int i = 0; i < 500; i++) {
        fseek(f, i < 250 ? rand() % 1024 : -(rand() % 8192) - 1, i < 250 ? SEEK_SET : SEEK_END);
        fputc(rand(), f);
        fflush(f);
        locations[0].n_lines = 0;
        symbols_name(&s, NULL, &report);
    }
    fclose(f);
    unlink(copy);
}

Test(symbols, made_up_and_named_locations_are_left_alone) {
    static struct snapshot_line line = {.name = "[other]"};
    add(0, -1);
    add(100, -1);
    locations[0].lines = &line;
    locations[0].n_lines = 1;
    symbols_name(&s, NULL, &report);
    cr_assert_eq(locations[0].lines, &line);
    cr_assert_eq(report.named + report.unnamed, 0);
}

Test(symbols, code_outside_files_is_looked_up_in_the_perf_map) {
    char map[] = "/tmp/test-symbols-map-XXXXXX";
    int fd = mkstemp(map);
    cr_assert_eq(write(fd, "10000 100 jit_f\n20000 100 jit_g\n", 32), 32);
    close(fd);
    mappings[0] = (struct snapshot_mapping){
        .start = 0x20000, .limit = 0x30000, .path = "/memfd:jit (deleted)"};
    s.n_mappings = 1;
    add(0x10010, -1);
    add(0x20010, 0);
    add(0x30000, -1);
    symbols_name(&s, map, &report);
    unlink(map);
    cr_assert_str_eq(name_of(0), "jit_f");
    cr_assert_str_eq(name_of(1), "jit_g");
    cr_assert_str_eq(name_of(2), "(none)");
    cr_assert_eq(report.files_stale, 0);
}

static void *name_all(void *nothing) {
    symbols_name(&s, NULL, &report);
    return nothing;
}

/* A dump in a signal handler has what is left of a small stack. A search of 150 s over repeated
 * motifs found nothing that takes 1 KiB more than this name. */
Test(symbols, the_deepest_cxx_name_fits_into_400_kib_of_stack) {
    enum { STACK = 2 << 20, P = 1019 };
    static char command[P + 300], deep[P + 6] = "_Z1f";
    if (!dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL))
        cr_skip_test("no libstdc++");
    symbols_load();
    memset(deep + 4, 'P', P);
    deep[P + 4] = 'i';
    copy_program(0);
    snprintf(command, sizeof command,
             "strip %s && objcopy --add-symbol %s=.text:0,function,global %s", copy, deep, copy);
    cr_assert_eq(system(command), 0);
    mappings[0].inode = 0;
    unsigned char *stack =
        mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t on_it;
    pthread_t thread;
    memset(stack, 0xa5, STACK);
    pthread_attr_init(&on_it);
    pthread_attr_setstack(&on_it, stack, STACK);
    cr_assert_eq(pthread_create(&thread, &on_it, name_all, NULL), 0);
    pthread_join(thread, NULL);
    unlink(copy);
    size_t untouched = strspn((char *)stack, "\xa5");
    cr_assert_str_eq(name_of(0), "f", "it was demangled: the stack was used");
    cr_assert_lt((STACK - untouched) >> 10, 400, "%zu KiB", (STACK - untouched) >> 10);
}
