/* Tests symbols/elf_names.c on copies of this program, changed by binutils and xz as Fedora's build
 * does it.
 */
#include "symbols/elf_names.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/test-elf-names-XXXXXX";

/* Runs a line of shell in the test's folder, where "whole" is this program. */
__attribute__((format(printf, 1, 2))) static void sh(const char *format, ...) {
    char line[4096];
    int n = snprintf(line, sizeof line, "set -e; cd %s; ", dir);
    va_list args;
    va_start(args, format);
    vsnprintf(line + n, sizeof line - (size_t)n, format, args);
    va_end(args);
    cr_assert_eq(system(line), 0, "%s", line);
}

static void setup(void) {
    cr_assert_eq(elf_library_load(), 0);
    cr_assert_not_null(mkdtemp(dir));
    sh("cp /proc/%d/exe whole", (int)getpid());
}

static void teardown(void) { sh("rm -rf %s", dir); }

TestSuite(elf_names, .init = setup, .fini = teardown);

__attribute__((noinline)) static int first_static_function(int x) {
    __asm__ volatile("nop\n\tnop\n\tnop\n\tnop");
    return x + 1;
}

__attribute__((noinline)) static int second_static_function(int x) {
    __asm__ volatile("nop\n\tnop\n\tnop\n\tnop");
    return x - 1;
}

enum { N = 3 };

/* The names that a file gives to both functions above and to the start of the program, "" for none.
 */
static void names_of(const char *name, char names[N][100]) {
    extern char __executable_start;
    char path[100];
    struct elf_file f;
    uint64_t base = (uint64_t)&__executable_start;
    uint64_t at[N] = {(uint64_t)first_static_function + 3, (uint64_t)second_static_function, base};
    struct wanted w[N] = {0};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    struct snapshot_mapping m = {.limit = UINT64_MAX, .path = path};
    cr_assert_eq(elf_file_open(&f, &m), 0);
    for (unsigned i = 0; i < N; i++) {
        w[i].location = i;
        if (!elf_file_offset(&f, at[i] - base, &w[i].at))
            w[i].at = 0;
    }
    wanted_sort(w, N);
    struct elf_names *x = elf_names_new(&f, w, N);
    cr_assert_not_null(x);
    for (unsigned i = 0; i < N; i++)
        snprintf(names[w[i].location], 100, "%s",
                 w[i].best.table ? elf_names_text(x, &w[i].best) : "");
    elf_names_free(x);
    elf_file_done(&f);
}

static void expect_names(const char *file, const char *first, const char *second) {
    char names[N][100];
    names_of(file, names);
    cr_expect_str_eq(names[0], first, "%s: %s", file, names[0]);
    cr_expect_str_eq(names[1], second, "%s: %s", file, names[1]);
    cr_expect_str_eq(names[2], "", "%s: the ELF header is no code, but %s", file, names[2]);
}

/* "mini" is what find-debuginfo.sh puts into .gnu_debugdata: symbols and section headers, no
 * contents. */
static void make_mini(void) {
    sh("objcopy --only-keep-debug whole debug && objcopy -S --remove-section .gdb_index "
       "--remove-section "
       ".comment "
       "--keep-symbol=first_static_function --keep-symbol=second_static_function debug mini && "
       "strip -o stripped whole");
}

Test(elf_names, a_whole_program_and_a_stripped_one) {
    sh("strip -o stripped whole");
    expect_names("whole", "first_static_function", "second_static_function");
    expect_names("stripped", "", "");
}

Test(elf_names, gnu_debugdata_names_what_was_stripped) {
    make_mini();
    sh("xz mini && objcopy --add-section .gnu_debugdata=mini.xz stripped fedora");
    expect_names("fedora", "first_static_function", "second_static_function");
}

/* The room for it is guessed, and doubled: 2 MiB that shrink to nothing are more than any first
 * guess. */
Test(elf_names, gnu_debugdata_that_grows_a_thousandfold) {
    make_mini();
    sh("head -c 2097152 /dev/zero >zero && objcopy --add-section .zero=zero mini large && xz large "
       "&& "
       "objcopy --add-section .gnu_debugdata=large.xz stripped fedora");
    expect_names("fedora", "first_static_function", "second_static_function");
}

Test(elf_names, broken_gnu_debugdata_names_nothing) {
    make_mini();
    sh("xz mini && n=$(stat -c %%s mini.xz) && head -c $((n / 2)) mini.xz >cut && "
       "objcopy --add-section .gnu_debugdata=cut stripped cut.elf && "
       "head -c 5000 /dev/zero | tr '\\0' x >noise && objcopy --add-section .gnu_debugdata=noise "
       "stripped "
       "noise.elf && "
       "xz -c noise >noise.xz && objcopy --add-section .gnu_debugdata=noise.xz stripped packed.elf "
       "&& "
       ": >empty && objcopy --add-section .gnu_debugdata=empty stripped empty.elf");
    expect_names("cut.elf", "", "");
    expect_names("noise.elf", "", "");
    expect_names("packed.elf", "", "");
    expect_names("empty.elf", "", "");
}

/* strip -K leaves a .symtab that is smaller than .dynsym: the latter must still be read. */
Test(elf_names, a_symtab_of_one_name_does_not_hide_dynsym) {
    Dl_info libc;
    cr_assert(dladdr(dlsym(RTLD_DEFAULT, "gnu_get_libc_version"), &libc));
    sh("strip -o libc %s && objcopy --add-symbol made_up=.text:16,function,global libc whole",
       libc.dli_fname);
    struct elf_file f;
    char path[100];
    snprintf(path, sizeof path, "%s/whole", dir);
    struct snapshot_mapping m = {.limit = UINT64_MAX, .path = path};
    cr_assert_eq(elf_file_open(&f, &m), 0);
    struct elf_section dynsym, symtab;
    cr_assert(elf_file_section(&f, ".symtab", &symtab));
    cr_assert(elf_file_section(&f, ".dynsym", &dynsym));
    cr_assert_lt(symtab.size, dynsym.size);
    struct wanted w = {0};
    for (uint64_t at = dynsym.offset; !w.at; at += sizeof(Elf64_Sym)) {
        Elf64_Sym y;
        cr_assert(elf_file_read(&f, at, &y, sizeof y));
        if (ELF64_ST_TYPE(y.st_info) == STT_FUNC && y.st_shndx != SHN_UNDEF && y.st_size)
            elf_file_offset(&f, y.st_value, &w.at);
    }
    struct elf_names *x = elf_names_new(&f, &w, 1);
    cr_assert_eq(w.best.table, ELF_DYNSYM);
    elf_names_free(x);
    elf_file_done(&f);
}
