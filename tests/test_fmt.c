#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/fmt.h"

Test(fmt, pieces_join_into_one_text) {
    char buf[100];
    struct text t = TEXT_ON(buf);
    text_str(&t, "a");
    text_char(&t, '-');
    text_bytes(&t, "bcd", 2);
    text_u64(&t, UINT64_MAX);
    text_char(&t, ' ');
    text_i64(&t, INT64_MIN);
    text_char(&t, ' ');
    text_hex(&t, 0xdeadbeef);
    cr_assert_str_eq(buf, "a-bc18446744073709551615 -9223372036854775808 deadbeef");
    cr_assert_eq(t.len, strlen(buf));
    cr_assert(!t.cut);
}

Test(fmt, what_does_not_fit_is_cut_and_remembered) {
    char buf[8] = "xxxxxxx";
    struct text t = {buf, 0, 5, false};
    text_str(&t, "1234");
    cr_assert(!t.cut);
    text_char(&t, '5');
    cr_assert(t.cut);
    cr_assert_str_eq(buf, "1234");
    cr_assert_str_eq(buf + 5, "xx");
}

Test(fmt, padding_keeps_the_width) {
    char buf[40];
    struct text t = TEXT_ON(buf);
    text_pad(&t, 7, 3);
    text_char(&t, ' ');
    text_pad(&t, 1234, 3);
    text_char(&t, ' ');
    text_u64(&t, 0);
    cr_assert_str_eq(buf, "007 1234 0");
}

Test(fmt, fixed_point_shows_the_asked_digits) {
    char buf[40];
    struct text t = TEXT_ON(buf);
    text_fixed(&t, 1500, 1000, 2);
    text_char(&t, ' ');
    text_fixed(&t, 1999, 1000, 0);
    text_char(&t, ' ');
    text_fixed(&t, 5, 1000, 3);
    cr_assert_str_eq(buf, "1.50 1 0.005");
}

Test(fmt, null_string_and_both_signs_of_errno_are_readable) {
    char buf[100];
    struct text t = TEXT_ON(buf);
    text_str(&t, NULL);
    text_char(&t, ' ');
    text_errno(&t, -ENOSPC);
    text_char(&t, ' ');
    text_errno(&t, 9999);
    cr_assert_str_eq(buf, "(null) no space left on device (28) error (9999)");
}
