#include "common/glob.h"

#include <criterion/criterion.h>
#include <string.h>

Test(glob, names_match_like_a_shell) {
    const struct {
        const char *pattern, *name;
        bool match;
    } cases[] = {
        {"*", "", true},
        {"*", "anything", true},
        {"redis-*", "redis-server", true},
        {"redis-*", "redis", false},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"[a-c]x", "bx", true},
        {"[a-c]x", "dx", false},
        {"[!a-c]x", "dx", true},
        {"[]]", "]", true},
        {"[a", "[a", true},
        {"*a*b*c", "xxaxxbxxc", true},
        {"*a*b*c", "xxaxxbxx", false},
        {"", "", true},
        {"", "a", false},
        {"**", "x", true},
        {"[-a]", "-", true},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(glob_match(cases[i].pattern, strlen(cases[i].pattern), cases[i].name),
                     cases[i].match, "%s %s", cases[i].pattern, cases[i].name);
}

/* 64 stars against 4 KiB: exponential matchers never return. */
Test(glob, pattern_with_many_stars_ends, .timeout = 5) {
    char pattern[130], name[4097];
    for (unsigned i = 0; i < 64; i++)
        memcpy(pattern + 2 * i, "*a", 2);
    memcpy(pattern + 128, "b", 2);
    memset(name, 'a', 4096);
    name[4096] = '\0';
    cr_assert(!glob_match(pattern, 129, name));
}
