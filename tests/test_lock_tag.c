#include "agent/lock_tag.h"

#include <criterion/criterion.h>

static struct arena arena;
static struct chains tags;

static const struct lock_tag *tag(uintptr_t object, enum lock_kind kind, enum lock_state state) {
    return lock_tag_intern(&tags, &arena, object, kind, state);
}

Test(lock_tag, the_same_parts_are_one_tag) {
    cr_assert_eq(tag(1, LOCK_SEM, LOCK_DONE), tag(1, LOCK_SEM, LOCK_DONE));
}

Test(lock_tag, each_part_tells_tags_apart) {
    const struct lock_tag *t = tag(1, LOCK_SEM, LOCK_DONE);
    cr_assert_neq(t, tag(2, LOCK_SEM, LOCK_DONE));
    cr_assert_neq(t, tag(1, LOCK_COND, LOCK_DONE));
    cr_assert_neq(t, tag(1, LOCK_SEM, LOCK_TIMEOUT));
}

Test(lock_tag, beyond_the_bound_locks_are_one_and_kinds_are_not) {
    for (uintptr_t i = 1; i <= LOCK_TAGS_MAX; i++)
        tag(i, LOCK_MUTEX, LOCK_DONE);
    const struct lock_tag *t = tag(LOCK_TAGS_MAX + 1, LOCK_MUTEX, LOCK_DONE);
    cr_assert_eq(t->object, 0);
    cr_assert_eq(t, tag(LOCK_TAGS_MAX + 2, LOCK_MUTEX, LOCK_DONE));
    cr_assert_neq(t, tag(LOCK_TAGS_MAX + 1, LOCK_FUTEX, LOCK_DONE));
    cr_assert_eq(tag(1, LOCK_MUTEX, LOCK_DONE)->object, 1, "known ones stay known");
}

Test(lock_tag, without_memory_there_is_none) {
    struct arena none = {.limit = 1};
    static struct chains empty;
    cr_assert_null(lock_tag_intern(&empty, &none, 1, LOCK_MUTEX, LOCK_DONE));
}
