/* Tests symbols/punycode.c. The names were encoded by Python's punycode codec, "-" made "_". */
#include "symbols/punycode.h"

#include <criterion/criterion.h>
#include <string.h>

static char buffer[600];

/* What it prints, or NULL. */
static const char *decoded(const char *s) {
    struct text out = TEXT_ON(buffer);
    buffer[0] = '\0';
    return punycode_print((struct piece){s, strlen(s)}, &out) ? buffer : NULL;
}

Test(punycode, letters_beyond_ascii_go_back_to_their_places) {
    cr_expect_str_eq(decoded("gdel_5qa"), "g\xc3\xb6"
                                          "del");
    cr_expect_str_eq(decoded("bcher_kva"), "b\xc3\xbc"
                                           "cher");
    cr_expect_str_eq(decoded("n8jok5ay5dzabd5bym9f0cm5685rrjetr6pdxa"),
                     "なぜみんな日本語を話してくれないのか");
    cr_expect_str_eq(decoded("a_b_dma"), "a_b\xc3\xa9");
    cr_expect_str_eq(decoded("zs9h"), "\xf0\x9f\xa6\x80");
}

Test(punycode, ascii_alone_stays) {
    cr_expect_str_eq(decoded("abc_"), "abc");
    cr_expect_str_eq(decoded(""), "");
}

Test(punycode, what_is_malformed_prints_nothing) {
    static const char *const names[] = {
        "gdel_5q",         /* the number does not end */
        "gdel_5Q",         /* no digit */
        "99999999",        /* beyond Unicode */
        "zzzzzzzzzzzzzz9", /* beyond 64 bits, were it not stopped */
        "a-b",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        cr_expect_null(decoded(names[i]), "%s", names[i]);
        cr_expect_str_eq(buffer, "");
    }
}

Test(punycode, more_than_128_characters_are_refused) {
    char name[200];
    memset(name, 'a', sizeof name);
    strcpy(name + 127, "_5qa");
    cr_expect_not_null(decoded(name));
    memset(name, 'a', sizeof name);
    strcpy(name + 128, "_5qa");
    cr_expect_null(decoded(name));
}
