#include "agent/freeze.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/auxv.h>

#include "agent/agent.h"

static struct freeze f;
static struct table table;

static void begin(void) {
    cr_assert(modules_refresh(true));
    freeze_begin(&f, &kind_infos[KIND_cpu]);
}

static struct row *row(const uint64_t *pcs, uint32_t n, const struct who *who) {
    return table_row(&table, &agent.arena, stack_intern(&agent.stacks, &agent.arena, pcs, n), who,
                     0);
}

static uint64_t own_code(unsigned offset) { return getauxval(AT_ENTRY) + offset; }

Test(freeze, the_main_binary_is_mapping_one_even_without_samples, .init = begin) {
    cr_assert_eq(f.snapshot.n_mappings, 1);
    cr_assert_not_null(strstr(f.snapshot.mappings[0].path, "test_freeze"));
}

Test(freeze, an_address_used_twice_is_one_location, .init = begin) {
    const uint64_t a[] = {own_code(0), own_code(8)}, b[] = {own_code(8), own_code(16)};
    const int64_t values[KIND_MAX_VALUES] = {1, 10};
    freeze_row(&f, row(a, 2, NULL), values);
    freeze_row(&f, row(b, 2, NULL), values);
    cr_assert_eq(f.snapshot.n_samples, 2);
    cr_assert_eq(f.snapshot.n_locations, 3);
    cr_assert_eq(f.snapshot.samples[0].locations[1], f.snapshot.samples[1].locations[0]);
    cr_assert_eq(f.snapshot.locations[0].mapping, 0);
}

Test(freeze, many_locations_keep_their_addresses, .init = begin) {
    const int64_t values[KIND_MAX_VALUES] = {1, 1};
    for (uint64_t i = 0; i < 5000; i++) {
        const uint64_t pc = 0x10000 + 64 * i;
        freeze_row(&f, row(&pc, 1, NULL), values);
    }
    cr_assert_eq(f.snapshot.n_locations, 5000);
    for (uint32_t i = 0; i < 5000; i++)
        cr_assert_eq(f.snapshot.locations[f.snapshot.samples[i].locations[0]].address,
                     0x10000 + 64 * i);
}

Test(freeze, a_window_is_what_came_since_the_last_one, .init = begin) {
    const uint64_t pc = own_code(0);
    struct row *r = row(&pc, 1, NULL);
    row_add(r, 0, 2);
    row_add(r, 1, 20);
    freeze_window(&f, r);
    row_add(r, 1, 5);
    freeze_window(&f, r);
    freeze_window(&f, r);
    cr_assert_eq(f.snapshot.n_samples, 2, "a row without news is left out");
    cr_assert_eq(f.snapshot.samples[0].values[1], 20);
    cr_assert_eq(f.snapshot.samples[1].values[0], 0);
    cr_assert_eq(f.snapshot.samples[1].values[1], 5);
}

Test(freeze, threads_become_labels, .init = begin) {
    const struct who named = {77, "worker"}, nameless = {78, ""};
    const uint64_t pc = own_code(0);
    const int64_t values[KIND_MAX_VALUES] = {1, 1};
    freeze_row(&f, row(&pc, 1, &named), values);
    freeze_row(&f, row(&pc, 1, &nameless), values);
    const struct snapshot_sample *s = f.snapshot.samples;
    cr_assert_eq(s[0].n_labels, 2);
    cr_assert_str_eq(s[0].labels[0].str, "worker");
    cr_assert_eq(s[0].labels[1].num, 77);
    cr_assert_eq(s[1].n_labels, 1);
}

Test(freeze, labels_of_the_kind_come_before_those_of_the_thread, .init = begin) {
    const struct who named = {77, "worker"};
    const uint64_t pc = own_code(0);
    const int64_t values[KIND_MAX_VALUES] = {1, 1};
    char lock[] = "queue+0x10";
    const struct snapshot_label own[] = {{.key = "lock", .str = lock},
                                         {.key = "bytes", .num = 48, .unit = "bytes"}};
    freeze_row_labelled(&f, row(&pc, 1, &named), values, own, 2);
    lock[0] = 'x';
    const struct snapshot_sample *s = &f.snapshot.samples[0];
    cr_assert_eq(s->n_labels, 4);
    cr_assert_str_eq(s->labels[0].str, "queue+0x10");
    cr_assert_eq(s->labels[1].num, 48);
    cr_assert_str_eq(s->labels[2].key, "thread");
    cr_assert_eq(s->labels[3].num, 77);
}

Test(freeze, frames_that_are_no_code_have_names, .init = begin) {
    const uint64_t pcs[] = {frame_special(FRAME_UNSAMPLED), 0x7000};
    const int64_t values[KIND_MAX_VALUES] = {0, 9};
    freeze_row(&f, row(pcs, 2, NULL), values);
    freeze_row(&f, &table.other, values);
    freeze_name_rest(&f);
    const struct snapshot_location *l = f.snapshot.locations;
    cr_assert_str_eq(l[0].lines->name, "[unsampled]");
    cr_assert_str_eq(l[1].lines->name, "[anonymous code]");
    cr_assert_str_eq(l[2].lines->name, "[other]");
}
