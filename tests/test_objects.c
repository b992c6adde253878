#include "symbols/objects.h"

#include <criterion/criterion.h>
#include <link.h>
#include <sys/stat.h>

#include "symbols/symbols.h"

static struct {
    long before;
    long inside[8];
} some_variable = {1, {2}};

static struct snapshot pool;

/* This program, as the agent would describe it. */
static struct snapshot_mapping self_file(void) {
    struct stat st;
    cr_assert_eq(stat("/proc/self/exe", &st), 0);
    return (struct snapshot_mapping){
        .path = "/proc/self/exe", .dev = st.st_dev, .inode = st.st_ino};
}

static uint64_t in_file(const void *p) { return (uint64_t)p - _r_debug.r_map->l_addr; }

Test(objects, a_variable_is_found_by_an_address_inside) {
    struct snapshot_mapping file = self_file();
    struct object_wanted w[] = {{.address = in_file(&some_variable.inside[3])},
                                {.address = in_file(&some_variable)}};
    cr_assert_eq(symbols_load(), 0);
    symbols_objects(&file, w, 2, &pool);
    cr_assert_str_eq(w[0].text, "some_variable");
    cr_assert_eq(w[0].address - w[0].start, 4 * sizeof(long));
    cr_assert_str_eq(w[1].text, "some_variable");
    cr_assert_eq(w[1].address, w[1].start);
}

Test(objects, code_and_nothing_are_no_variables) {
    struct snapshot_mapping file = self_file();
    struct object_wanted w[] = {{.address = in_file((const void *)in_file)}, {.address = 1}};
    cr_assert_eq(symbols_load(), 0);
    symbols_objects(&file, w, 2, &pool);
    cr_assert_null(w[0].text);
    cr_assert_null(w[1].text);
}

Test(objects, a_file_that_is_not_there_names_nothing) {
    struct snapshot_mapping file = {.path = "/nowhere"};
    struct object_wanted w[] = {{.address = 1, .size = 5, .text = "old"}};
    symbols_objects(&file, w, 1, &pool);
    cr_assert_null(w[0].text);
}
