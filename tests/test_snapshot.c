#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/snapshot.h"

Test(snapshot, memory_is_zeroed_aligned_and_lives_until_done) {
    struct snapshot s = {0};
    for (size_t n = 1; n < 1 << 20; n = n * 5 + 1) {
        unsigned char *p = snapshot_alloc(&s, n);
        cr_assert(p);
        cr_assert_eq((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < n; i++)
            cr_assert_eq(p[i], 0);
        memset(p, 0xff, n);
    }
    snapshot_done(&s);
    cr_assert_null(s.blocks);
}

Test(snapshot, valid_text_is_copied_as_it_is) {
    struct snapshot s = {0};
    const char *good[] = {
        "", "plain", "\xc3\xa9t\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x94\xa5", "\xed\x9f\xbf"};
    for (unsigned i = 0; i < sizeof good / sizeof *good; i++)
        cr_assert_str_eq(snapshot_text(&s, good[i], strlen(good[i])), good[i]);
    snapshot_done(&s);
}

Test(snapshot, bad_bytes_become_question_marks) {
    struct snapshot s = {0};
    const struct {
        const char *from, *to;
    } cases[] = {
        {"a\xff", "a?"},         {"\x80", "?"},           {"\xc0\xaf", "??"},
        {"\xe0\x80\xaf", "???"}, {"\xed\xa0\x80", "???"}, {"\xf4\x90\x80\x80", "????"},
        {"\xe2\x82", "??"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_assert_str_eq(snapshot_text(&s, cases[i].from, strlen(cases[i].from)), cases[i].to);
    cr_assert_str_eq(snapshot_text(&s, "a\0b", 3), "a?b");
    cr_assert_str_eq(snapshot_text(&s, "cut here", 3), "cut");
    snapshot_done(&s);
}

Test(snapshot, comments_keep_their_order) {
    struct snapshot s = {0};
    char text[8];
    for (unsigned i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "%u", i);
        snapshot_comment(&s, text);
    }
    cr_assert_eq(s.n_comments, 100);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "%u", i);
        cr_assert_str_eq(s.comments[i], text);
    }
    snapshot_done(&s);
    cr_assert_eq(s.n_comments, 0);
}
