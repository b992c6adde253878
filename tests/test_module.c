#include "agent/module.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/stack.h"

static void refresh(void) { cr_assert(modules_refresh(true)); }

Test(module, the_programs_own_code_is_found_with_its_file, .init = refresh) {
    const struct module *m = module_find_ever(getauxval(AT_ENTRY));
    cr_assert_not_null(m);
    cr_assert_not_null(strstr(m->path, "test_module"));
    cr_assert_gt(m->inode, 0);
    cr_assert_gt(m->eh_rows, 0);
}

Test(module, build_ids_are_lower_case_hex, .init = refresh) {
    const struct module *libc = module_find_ever((uintptr_t)&strlen);
    libc = libc ? libc : module_find_ever((uintptr_t)dlsym(RTLD_NEXT, "malloc"));
    cr_assert_not_null(libc);
    cr_assert_eq(strlen(libc->build_id), 40);
    cr_assert_eq(strspn(libc->build_id, "0123456789abcdef"), 40);
}

Test(module, the_vdso_is_a_module, .init = refresh) {
    const struct module_list *l = agent.modules.current;
    bool found = false;
    for (uint32_t i = 0; i < l->n; i++)
        found |= l->at[i].module && strcmp(l->at[i].module->path, "[vdso]") == 0;
    cr_assert(found);
}

Test(module, data_is_not_code, .init = refresh) {
    cr_assert_null(module_range_find((uintptr_t)&agent));
    cr_assert_null(module_range_find(0));
    cr_assert_null(module_range_find(UINT64_MAX));
}

Test(module, executable_memory_without_a_file_has_no_module, .init = refresh) {
    void *jit = mmap(NULL, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_null(module_range_find((uintptr_t)jit));
    cr_assert(modules_refresh(false));
    const struct module_range *r = module_range_find((uintptr_t)jit);
    cr_assert_not_null(r);
    cr_assert_null(r->module);
}

Test(module, a_library_keeps_its_name_after_dlclose, .init = refresh) {
    void *so = dlopen("libutil.so.1", RTLD_NOW);
    so = so ? so : dlopen("librt.so.1", RTLD_NOW);
    cr_assert_not_null(so);
    cr_assert(modules_refresh(false));
    const struct module_list *l = agent.modules.current;
    const struct module *m = NULL;
    for (uint32_t i = 0; i < l->n; i++)
        if (l->at[i].module &&
            (strstr(l->at[i].module->path, "libutil") || strstr(l->at[i].module->path, "librt")))
            m = l->at[i].module;
    cr_assert_not_null(m);
    cr_assert_not(m->pinned);
    dlclose(so);
    cr_assert(modules_refresh(false));
    cr_assert_null(module_range_find(m->start));
    cr_assert_eq(module_find_ever(m->start), m);
}

Test(module, more_ranges_than_a_list_holds_make_a_larger_list, .init = refresh) {
    enum { MANY = 500 };
    char *area = mmap(NULL, 2 * MANY * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(mprotect(area + 2 * i * 4096, 4096, PROT_READ | PROT_EXEC), 0);
    cr_assert(modules_refresh(false));
    for (int i = 0; i < MANY; i++)
        cr_assert_not_null(module_range_find((uintptr_t)area + 2 * i * 4096u));
    cr_assert_null(module_range_find((uintptr_t)area + 4096));
}

/* A library's image, made by hand: the ELF header is what tells one from another. */
static void *image_at(void *place, uint64_t entry) {
    Elf64_Ehdr *eh = mmap(place, 4096, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | (place ? MAP_FIXED : 0), -1, 0);
    const Elf64_Ehdr made = {
        .e_ident = ELFMAG, .e_entry = entry, .e_phentsize = sizeof(Elf64_Phdr)};
    char path[] = "/tmp/cprof-image-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_eq(write(fd, &made, sizeof made), (ssize_t)sizeof made);
    cr_assert_eq(ftruncate(fd, 4096), 0);
    eh = mmap(eh, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0);
    close(fd);
    unlink(path);
    return eh;
}

Test(module, each_tenant_of_a_place_keeps_its_frames, .init = refresh) {
    void *place = image_at(NULL, 1);
    cr_assert(modules_refresh(false));
    const struct module *first = module_find_ever((uintptr_t)place + 64);
    cr_assert_not_null(first);
    cr_assert(module_holds(first));
    image_at(place, 2);
    cr_assert_not(module_holds(first));
    cr_assert(modules_refresh(false));
    const struct module *second = module_range_find((uintptr_t)place + 64)->module;
    cr_assert_neq(second, first);
    cr_assert(module_holds(second));
    cr_assert_eq(module_find_ever(frame_of_tenant((uintptr_t)place + 64, first->tenant)), first);
    cr_assert_eq(module_find_ever(frame_of_tenant((uintptr_t)place + 64, second->tenant)), second);
}
