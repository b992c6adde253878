#include <criterion/criterion.h>
#include <string.h>

#include "common/kinds.h"

Test(kinds, each_is_found_by_its_name_and_only_by_it) {
    for (unsigned k = 0; k < KIND_COUNT; k++) {
        const char *name = kind_infos[k].name;
        cr_assert_eq(kind_find(name, (unsigned)strlen(name)), &kind_infos[k]);
        cr_assert_eq(kind_id(&kind_infos[k]), k);
        cr_assert_null(kind_find(name, (unsigned)strlen(name) - 1));
    }
    cr_assert_null(kind_find("", 0));
    cr_assert_null(kind_find("CPU", 3));
}

Test(kinds, prefix_of_another_name_is_its_own_kind) {
    cr_assert_eq(kind_find("threads", 7), &kind_infos[KIND_threads]);
    cr_assert_eq(kind_find("threadcreate", 12), &kind_infos[KIND_threadcreate]);
}

Test(kinds, main_value_stands_last_except_where_go_has_another_default) {
    for (unsigned k = 0; k < KIND_COUNT; k++) {
        const struct kind_info *info = &kind_infos[k];
        cr_assert(info->n_values >= 1 && info->n_values <= KIND_MAX_VALUES);
        bool found = false;
        for (unsigned v = 0; v < info->n_values; v++)
            found |= strcmp(info->values[v].name, info->main_value) == 0;
        cr_assert(found, "%s", info->name);
        if (k != KIND_allocs)
            cr_assert_str_eq(info->values[info->n_values - 1].name, info->main_value);
    }
}

/* Parca files any profile with a duration as another type. */
Test(kinds, only_timed_sampling_is_windowed) {
    for (unsigned k = 0; k < KIND_COUNT; k++)
        cr_assert_eq(kind_infos[k].windowed, k == KIND_cpu || k == KIND_wall);
}

Test(kinds, rates_are_set_exactly_where_there_is_a_unit) {
    for (unsigned k = 0; k < KIND_COUNT; k++)
        cr_assert_eq(kind_infos[k].default_rate != 0, kind_infos[k].unit != RATE_NONE, "%s",
                     kind_infos[k].name);
}
