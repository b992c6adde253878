#include "agent/cfi_quick.h"

#include <criterion/criterion.h>
#include <dlfcn.h>

#include "agent/agent.h"

static const struct module *module_of(const char *library, const char *function) {
    void *at = dlsym(dlopen(library, RTLD_NOW), function);
    cr_assert(modules_refresh(true));
    const struct module_range *r = module_range_find((uintptr_t)at);
    cr_assert(r && r->module && r->module->eh_frame);
    return r->module;
}

static struct { unsigned long asked, answered; } count;

/* Every byte of a small function, every 7th of a large one and the last. */
static void compare(struct cfi_bytes b, size_t at, const struct cfi_entry *e,
                    struct cfi_usual *usual) {
    uint64_t n = e->end - e->start, step = n > 256 ? 7 : 1;
    for (uint64_t i = 0; i < n; i = i < n - 1 && i + step >= n ? n - 1 : i + step) {
        struct cfi_row row;
        count.asked++;
        uint32_t rule = cfi_quick(&b, at, usual, e->start + i);
        if (!rule)
            continue;
        count.answered++;
        cr_assert(cfi_entry_row(e, e->start + i, &row));
        cr_assert_eq(rule & ~CFI_QUICK_LAST, cfi_pack(e, &row, e->start + i),
                     "byte %lu of the function at +%zu", (unsigned long)i, at);
        cr_assert_eq(!!(rule & CFI_QUICK_LAST), i == n - 1);
    }
}

static void compare_all(const struct module *m) {
    struct cfi_bytes b = {(const uint8_t *)m->eh_lo, m->eh_hi - m->eh_lo, m->eh_lo};
    struct cfi_usual usual = {0};
    struct cfi_entry e;
    size_t next;
    int kind;
    count.asked = count.answered = 0;
    for (size_t at = m->eh_frame - m->eh_lo; (kind = cfi_entry_parse(b, at, &e, &next)) >= 0;
         at = next)
        if (kind > 0)
            compare(b, at, &e, &usual);
    cr_assert_gt(count.asked, 100000);
}

Test(cfi_quick, says_what_the_interpreter_says_at_all_of_libc) {
    compare_all(module_of("libc.so.6", "qsort"));
    cr_assert_gt(count.answered, count.asked / 10 * 9);
}

/* C++: records with a personality and with data for exceptions. */
Test(cfi_quick, says_what_the_interpreter_says_at_all_of_libstdcxx) {
    compare_all(module_of("libstdc++.so.6", "__cxa_throw"));
    cr_assert_gt(count.answered, count.asked / 10 * 9);
}

/* A record whose program makes every instruction's bytes: no answer, or the interpreter's. */
Test(cfi_quick, agrees_on_programs_made_of_garbage) {
    enum { SHARED = 24, OWN = 64, SIZE = 200, BEHIND = 8 };
    static const uint8_t shared[SHARED] = {20, 0,    0,  0, 0,    0,    0, 0, 1,    'z', 'R', 0,
                                           1,  0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1,   0,   0};
    static const uint8_t likely[] = {0x41, 0x44, 0x0e, 16,   0x86, 2, 0x83, 3,
                                     0x0f, 0x04, 0x0a, 0x0b, 0x0c, 7, 8,    0xc6,
                                     0x0d, 6,    0x02, 0x2e, 128,  1, 0,    0x90};
    uint8_t section[4 + SHARED + OWN + BEHIND] = {0};
    uint64_t seed = 1;
    uint32_t head[4] = {OWN - 4, 4 + SHARED + 4, 0x1000, SIZE};
    count.answered = 0;
    memcpy(section + 4, shared, SHARED);
    memcpy(section + 4 + SHARED, head, sizeof head);
    head[1] = SHARED + 4;
    memcpy(section + 4 + SHARED + 4, &head[1], 4);
    for (unsigned k = 0; k < 200000; k++) {
        struct cfi_bytes b = {section, sizeof section, (uintptr_t)section};
        struct cfi_usual usual = {0};
        struct cfi_entry e;
        struct cfi_row row;
        size_t next;
        for (unsigned i = 17; i < OWN; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            section[4 + SHARED + i] =
                seed >> 60 ? likely[(seed >> 33) % sizeof likely] : seed >> 40;
        }
        cr_assert_eq(cfi_entry_parse(b, 4 + SHARED, &e, &next), 1);
        uint64_t pc = e.start + (seed >> 20) % SIZE;
        uint32_t rule = cfi_quick(&b, 4 + SHARED, &usual, pc);
        if (!rule)
            continue;
        count.answered++;
        cr_assert(cfi_entry_row(&e, pc, &row));
        cr_assert_eq(rule & ~CFI_QUICK_LAST, cfi_pack(&e, &row, pc));
    }
    cr_assert_gt(count.answered, 100);
}

/* A record whose section lies at that address; its function begins 0x1000 behind its own place. */
static bool answers(uint64_t address, uint32_t size) {
    enum { SHARED = 24, OWN = 24, PLACE = SHARED + 8, BEHIND = 8 };
    uint8_t section[SHARED + OWN + BEHIND] = {20, 0,    0,  0, 0,    0,  0, 0, 1,    'z', 'R', 0,
                                              1,  0x78, 16, 1, 0x1b, 12, 7, 8, 0x90, 1,   0,   0};
    const uint32_t head[4] = {OWN - 4, SHARED + 4, 0x1000, size};
    struct cfi_usual usual = {0};
    memcpy(section + SHARED, head, sizeof head);
    return cfi_quick(&(struct cfi_bytes){section, sizeof section, address}, SHARED, &usual,
                     address + PLACE + 0x1000) != 0;
}

/* Sizes are signed in records of this form, and the full interpreter finds such functions empty. */
Test(cfi_quick, a_function_of_negative_size_or_around_the_end_of_memory_is_left_to_the_others) {
    cr_assert(answers(0x100000, 0x7fffffff));
    cr_assert_not(answers(0x100000, 0x80000000));
    cr_assert(answers(-((uint64_t)3 << 33), 0x100));
    cr_assert_not(answers(-(uint64_t)0x3000, 0x100), "an advance may be beyond the end");
    cr_assert_not(answers(-(uint64_t)0x3000, 0x4000));
}
