#include "agent/eh_index.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <string.h>

#include "agent/agent.h"

/* libc's search table, as its linker wrote it. */
static struct {
    struct module *module;
    const int32_t (*rows)[2];
} libc;

static void begin(void) {
    cr_assert(modules_refresh(true));
    const struct module_range *r = module_range_find((uintptr_t)dlsym(RTLD_NEXT, "qsort"));
    cr_assert(r && r->module && r->module->eh_hdr);
    libc.module = (struct module *)r->module;
    libc.rows = (const int32_t(*)[2])(libc.module->eh_hdr + 12);
}

static uint64_t function(uint32_t i) {
    return libc.module->eh_hdr + (uint64_t)(int64_t)libc.rows[i][0];
}
static uint64_t record(uint32_t i) {
    return libc.module->eh_hdr + (uint64_t)(int64_t)libc.rows[i][1];
}

Test(eh_index, finds_each_function_from_its_first_byte_to_the_next, .init = begin) {
    uint32_t n = libc.module->eh_rows;
    cr_assert_gt(n, 1000);
    for (uint32_t i = 0; i + 1 < n; i++) {
        cr_assert_eq(eh_index_find(libc.module, function(i)), record(i));
        cr_assert_eq(eh_index_find(libc.module, function(i + 1) - 1), record(i));
    }
    cr_assert_eq(eh_index_find(libc.module, function(n - 1)), record(n - 1));
    cr_assert_not_null(libc.module->index);
}

/* Pages are looked for when they are met: any order gives the same. */
Test(eh_index, finds_them_backwards_too, .init = begin) {
    for (uint32_t i = libc.module->eh_rows; i-- > 0;)
        cr_assert_eq(eh_index_find(libc.module, function(i)), record(i));
}

Test(eh_index, there_is_nothing_before_the_first_function, .init = begin) {
    cr_assert_eq(eh_index_find(libc.module, function(0) - 1), 0);
}

/* As when the arena is full. */
Test(eh_index, finds_without_memory, .init = begin) {
    agent.arena.limit = 1;
    for (uint32_t i = 0; i < libc.module->eh_rows; i += 7)
        cr_assert_eq(eh_index_find(libc.module, function(i)), record(i));
}
