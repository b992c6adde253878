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

Test(eh_index, knows_where_the_next_function_begins, .init = begin) {
    uint32_t n = libc.module->eh_rows;
    cr_assert_eq(eh_index_next(libc.module, function(0) - 1), function(0));
    for (uint32_t i = 0; i + 1 < n; i++) {
        cr_assert_eq(eh_index_next(libc.module, function(i)), function(i + 1));
        cr_assert_eq(eh_index_next(libc.module, function(i + 1) - 1), function(i + 1));
    }
    cr_assert_eq(eh_index_next(libc.module, function(n - 1)), UINT64_MAX);
}

/* As when the arena is full. */
Test(eh_index, finds_without_memory, .init = begin) {
    agent.arena.limit = 1;
    for (uint32_t i = 0; i < libc.module->eh_rows; i += 7)
        cr_assert_eq(eh_index_find(libc.module, function(i)), record(i));
}

/* Who writes into a library's file changes its pages under us: rows remembered before and after do
 * not fit together. The answer is wrong then, but no row outside of the table is read. */
Test(eh_index, a_table_that_changes_is_read_no_further) {
    enum { PAGE = 4096, ROWS = 8 };
    static struct {
        uint8_t head[12];
        int32_t rows[ROWS][2];
    } hdr;
    const uint64_t at = (uintptr_t)&hdr;
    struct module m = {.eh_hdr = at, .eh_rows = ROWS, .start = at + PAGE, .end = at + 9 * PAGE};
    eh_index_find(&m, m.start + 2 * PAGE);
    for (unsigned i = 0; i < ROWS; i++)
        hdr.rows[i][0] = INT32_MAX;
    for (uint64_t pc = m.start; pc < m.end; pc += PAGE)
        eh_index_find(&m, pc);
    cr_assert_not_null(m.index);
}
