#include "agent/registered.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/agent.h"

/* Sections as compilers write them, for code that is nowhere: a shared record, functions of 32
 * bytes one after the other, each beginning with push %rbp, a zero. */
enum { SHARED = 24, OWN = 24, FUNCTION = 32, LARGE = 4096, MEDIUM = 1000, MANY = 64 };
struct section {
    uint8_t shared[SHARED];
    uint8_t own[LARGE][OWN];
    uint32_t zero;
};

static struct section *section_new(void) {
    void *p = mmap(NULL, sizeof(struct section), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(p, MAP_FAILED);
    return p;
}

/* Where the code of a section's functions would be. */
static uint64_t code(const struct section *s, unsigned i) {
    return (uintptr_t)(s + 1) + 4096 + (uint64_t)i * FUNCTION;
}

static struct section *section_of(unsigned n) {
    static const uint8_t shared[SHARED] = {20, 0,    0,  0, 0,    0,    0, 0, 1,    'z', 'R', 0,
                                           1,  0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1,   0,   0};
    static const uint8_t push[] = {0, 0x41, 0x0e, 16, 0x86, 2, 0};
    struct section *s = section_new();
    memcpy(s->shared, shared, sizeof shared);
    for (unsigned i = 0; i < n; i++) {
        uint8_t *own = s->own[i];
        uint32_t head[4] = {OWN - 4, (uint32_t)(own + 4 - s->shared),
                            (uint32_t)(code(s, i) - (uintptr_t)(own + 8)), FUNCTION};
        memcpy(own, head, sizeof head);
        memcpy(own + sizeof head, push, sizeof push);
    }
    return s;
}

static struct registration all_of(const struct section *s) {
    return (struct registration){.key = (uintptr_t)s, .begin = (uintptr_t)s};
}

static bool add(const struct section *s) {
    struct registration r = all_of(s);
    return registered_add(&r);
}

static bool removed(const struct section *s) {
    struct registration r;
    return registered_remove((uintptr_t)s, &r);
}

static bool is_found(const struct section *s, unsigned i) {
    struct registered_place p;
    return registered_find(code(s, i), &p);
}

static void expect_rules(const struct section *s, unsigned i) {
    struct registered_place p;
    cr_assert(registered_find(code(s, i), &p));
    cr_assert_eq(registered_rule(&p, code(s, i)), cfi_rule(CFI_BY_SP, 1, 0));
    cr_assert_eq(registered_rule(&p, code(s, i) + 1), cfi_rule(CFI_BY_SP, 2, 2));
    cr_assert(registered_holds(&p));
}

Test(registered, nothing_is_found_before_anything_is_registered) {
    cr_assert_not(is_found(section_of(1), 0));
}

Test(registered, one_record_is_one_function) {
    struct section *s = section_of(3);
    struct registration r = {.key = 1, .begin = (uintptr_t)s->own[1], .single = true};
    cr_assert(registered_add(&r));
    expect_rules(s, 1);
    cr_assert_not(is_found(s, 0));
    cr_assert_not(is_found(s, 2));
}

Test(registered, a_section_is_all_functions_up_to_the_zero) {
    struct section *s = section_of(5);
    memset(s->own[3], 0, 4);
    cr_assert(add(s));
    for (unsigned i = 0; i < 3; i++)
        expect_rules(s, i);
    cr_assert_not(is_found(s, 3));
    cr_assert_not(is_found(s, 4));
}

/* Some name it by a function's record: the shared one in front of it belongs to it. */
Test(registered, a_section_named_by_its_first_function_is_all_of_it) {
    struct section *s = section_of(3);
    struct registration r = {.key = 1, .begin = (uintptr_t)s->own[0]};
    cr_assert(registered_add(&r));
    for (unsigned i = 0; i < 3; i++)
        expect_rules(s, i);
}

/* One registrar takes single records, and yet may be given a whole section. */
Test(registered, a_section_stays_one_where_single_records_are_expected) {
    struct section *s = section_of(3);
    struct registration r = {.key = 1, .begin = (uintptr_t)s, .single = true};
    cr_assert(registered_add(&r));
    for (unsigned i = 0; i < 3; i++)
        expect_rules(s, i);
}

Test(registered, the_record_behind_a_rule_is_found_too) {
    struct section *s = section_of(3);
    struct registered_place p;
    struct cfi_entry e;
    cr_assert(add(s));
    cr_assert(registered_find(code(s, 1), &p));
    cr_assert(registered_entry(&p, code(s, 1) + 7, &e));
    cr_assert_eq(e.start, code(s, 1));
    cr_assert_eq(e.end, code(s, 2));
    cr_assert_not(registered_entry(&p, code(s, 3), &e));
}

Test(registered, copies_stay_when_the_programs_own_are_gone) {
    struct section *s = section_of(2);
    struct registered_place p;
    struct cfi_entry e;
    cr_assert(add(s));
    munmap(s, sizeof *s);
    expect_rules(s, 0);
    cr_assert(registered_find(code(s, 1), &p));
    cr_assert(registered_entry(&p, code(s, 1), &e));
}

Test(registered, memory_that_is_not_there_has_no_tables) {
    struct section *s = section_of(1);
    struct registration whole = all_of(s), one = all_of(s);
    one.begin = (uintptr_t)s->own[0];
    one.single = true;
    munmap(s, sizeof *s);
    cr_assert_not(registered_add(&whole));
    cr_assert_not(registered_add(&one));
}

Test(registered, an_end_says_how_it_began) {
    struct section *s = section_of(1);
    struct registration r = all_of(s), ret = {0};
    r.object = &r;
    r.forwarded = true;
    cr_assert(registered_add(&r));
    cr_assert(registered_remove(r.key, &ret));
    cr_assert_eq(ret.object, &r);
    cr_assert(ret.forwarded);
    cr_assert_not(is_found(s, 0));
    cr_assert_not(removed(s));
}

Test(registered, the_end_of_what_is_unknown_changes_nothing) {
    struct section *s = section_of(1), *other = section_of(1);
    struct registration ret = {.key = 77};
    cr_assert_not(registered_remove((uintptr_t)other, &ret));
    cr_assert(add(s));
    cr_assert_not(registered_remove((uintptr_t)other, &ret));
    cr_assert_eq(ret.key, 77);
    expect_rules(s, 0);
}

/* A row of pointers to records is named once. */
Test(registered, all_of_one_key_end_together) {
    struct section *s[3] = {section_of(1), section_of(2), section_of(1)};
    struct registration ret;
    for (unsigned i = 0; i < 3; i++) {
        struct registration r = {.key = i < 2 ? 1 : 2, .begin = (uintptr_t)s[i]};
        cr_assert(registered_add(&r));
    }
    cr_assert(registered_remove(1, &ret));
    cr_assert_not(is_found(s[0], 0));
    cr_assert_not(is_found(s[1], 1));
    expect_rules(s[2], 0);
}

Test(registered, the_same_twice_stays_one) {
    struct section *s = section_of(1);
    struct registered_place first, second;
    cr_assert(add(s));
    cr_assert(registered_find(code(s, 0), &first));
    cr_assert(add(s));
    cr_assert(registered_find(code(s, 0), &second));
    cr_assert_eq(first.block, second.block);
    cr_assert(removed(s));
    cr_assert_not(is_found(s, 0));
    cr_assert_not(removed(s));
}

/* Nobody told us that the first one ended. */
Test(registered, other_records_in_the_same_place_replace_the_first) {
    struct section *s = section_of(2);
    cr_assert(add(s));
    memset(s->own[1], 0, 4);
    cr_assert(add(s));
    expect_rules(s, 0);
    cr_assert_not(is_found(s, 1));
}

/* What a walk holds on to when it is overtaken. */
Test(registered, a_place_no_longer_holds_when_its_memory_is_used_again) {
    struct section *s = section_of(1), *other = section_of(1);
    struct registered_place p, q;
    cr_assert(add(s));
    cr_assert(registered_find(code(s, 0), &p));
    cr_assert(removed(s));
    cr_assert_not(registered_holds(&p));
    cr_assert(add(other));
    cr_assert(registered_find(code(other, 0), &q));
    cr_assert_eq(q.block, p.block);
    cr_assert_not(registered_holds(&p));
}

Test(registered, many_are_found_whatever_the_order_they_come_and_go_in) {
    enum { COUNT = 1000, STEP = 7 };
    static struct section *s[COUNT];
    for (unsigned i = 0; i < COUNT; i++)
        s[i] = section_of(1);
    for (unsigned i = 0; i < COUNT; i++)
        cr_assert(add(s[i * STEP % COUNT]));
    for (unsigned i = 0; i < COUNT; i++)
        expect_rules(s[i], 0);
    for (unsigned i = 0; i < COUNT; i += 2)
        cr_assert(removed(s[i]));
    for (unsigned i = 0; i < COUNT; i++)
        cr_assert_eq(is_found(s[i], 0), i % 2 == 1);
}

Test(registered, no_room_is_said_and_harms_nobody) {
    struct section *first = section_of(1), *large = section_of(LARGE);
    cr_assert(add(first));
    agent.arena.limit = 1;
    cr_assert_not(add(large));
    cr_assert_not(is_found(large, 0));
    expect_rules(first, 0);
    agent.arena.limit = 0;
    cr_assert(add(large));
    expect_rules(large, LARGE - 1);
}

/* Else code that is gone would keep its tables, and its end would be passed to a registrar that
 * never heard of it. */
Test(registered, an_end_needs_no_memory) {
    struct section *s[MANY];
    for (unsigned i = 0; i < MANY; i++)
        cr_assert(add(s[i] = section_of(1)));
    agent.arena.limit = 1;
    cr_assert_not(add(section_of(MEDIUM)));
    for (unsigned i = 0; i < MANY; i++) {
        cr_assert(removed(s[i]));
        cr_assert_not(is_found(s[i], 0));
    }
}

/* Forking ----------------------------------------------------------------------------------------
 */

static atomic_bool enough;

/* Nearly all of it under the lock. */
static void *come_and_go(void *large) {
    while (!atomic_load(&enough)) {
        add(large);
        removed(large);
    }
    return NULL;
}

static int life_of_child(const struct section *kept, const struct section *fresh) {
    registered_reset();
    bool ok = is_found(kept, 0) && add(fresh) && is_found(fresh, 0) && removed(fresh) &&
              add(fresh) && removed(kept) && !is_found(kept, 0) && is_found(fresh, 0);
    return ok ? 0 : 1;
}

/* A child has what its parent had, also if another thread was in the midst of a change. */
Test(registered, a_child_goes_on_with_its_copies) {
    struct section *kept = section_of(1), *fresh = section_of(1), *large = section_of(LARGE);
    pthread_t other;
    cr_assert(add(kept));
    cr_assert_eq(pthread_create(&other, NULL, come_and_go, large), 0);
    for (unsigned i = 0; i < 100; i++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            alarm(60);
            _exit(life_of_child(kept, fresh));
        }
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert_eq(status, 0);
    }
    atomic_store(&enough, true);
    pthread_join(other, NULL);
    expect_rules(kept, 0);
}
