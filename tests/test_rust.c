/* Tests symbols/rust.c. The symbols come from rustc 1.95, the names were compared with binutils'
 * c++filt. */
#include "symbols/rust.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/rng.h"

struct pair {
    const char *mangled, *name;
};

static void check(const struct pair *pairs, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char *name = rust_demangle(pairs[i].mangled);
        if (!pairs[i].name)
            cr_expect_null(name, "%s gave %s", pairs[i].mangled, name);
        else
            cr_expect(name && strcmp(name, pairs[i].name) == 0, "%s: %s", pairs[i].mangled, name);
        free(name);
    }
}
#define CHECK(pairs) check((pairs), sizeof(pairs) / sizeof((pairs)[0]))

Test(rust, legacy_names_lose_their_hash_and_their_escapes) {
    static const struct pair pairs[] = {
        {"_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write"},
        {"_ZN4core3fmt5write17h0123456789abcdefE.llvm.123", "core::fmt::write"},
        {"_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$"
         "3bar17h930b740aa94f1d3aE",
         "<Test + 'static as foo::Bar<Test>>::bar"},
        {"_ZN4main4main28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE",
         "main::main::{{closure}}"},
        {"_ZN3foo7$RF$$BP$$C$17h0123456789abcdefE", NULL},
        {"_ZN3foo11$RF$$BP$$C$17h0123456789abcdefE", "foo::&*,"},
        {"_ZN9g$uf6$del17h0123456789abcdefE", "g\xc3\xb6"
                                              "del"},
        {"_ZN2ns1fEi", NULL},                          /* C++ */
        {"_ZN4core5write17h0123456789abcdeXE", NULL},  /* not a hash */
        {"_ZN99core5write17h0123456789abcdefE", NULL}, /* length beyond the end */
        {"_ZN4core5write17h0123456789abcdef", NULL},   /* no end */
        {"_ZN17h0123456789abcdefE", NULL},             /* nothing but a hash */
    };
    CHECK(pairs);
}

Test(rust, v0_paths_types_and_generics) {
    static const struct pair pairs[] = {
        {"_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar"},
        {"_RNCNvC1r4main0", "r::main::{closure#0}"},
        {"_RNCNvC1r4mains0_0", "r::main::{closure#2}"},
        {"_RNSC1r4call", "r::{shim:call#0}"},
        {"_RINvC1r3genhNtC5alloc6StringE", "r::gen::<u8, alloc::String>"},
        {"_RINvC1r3genThERShQlPtOxE", "r::gen::<(u8,), &[u8], &mut i32, *const u16, *mut i64>"},
        {"_RINvC1r3genTEzueE", "r::gen::<(), !, (), str>"},
        {"_RNvMNtC1r1mNtB2_1S2go", "<r::m::S>::go"},
        {"_RNvXNtC1r1mReNtB2_1T1t", "<&str as r::m::T>::t"},
        {"_RNvYhNtC1r1T1t", "<u8 as r::T>::t"},
        {"_RINvC1r3genFUKCheEuE", "r::gen::<unsafe extern \"C\" fn(u8, str)>"},
        {"_RINvC1r3genFK6systemhElE", "r::gen::<extern \"system\" fn(u8) -> i32>"},
        {"_RINvC1r3genFG_RL0_eERL0_eE", "r::gen::<for<'a> fn(&'a str) -> &'a str>"},
        {"_RINvC1r3genFG_RL0_eEeE", "r::gen::<for<'a> fn(&'a str) -> str>"},
        {"_RINvC1r3genDNtC1r1TEL_E", "r::gen::<dyn r::T>"},
        {"_RINvC1r3genDNtC1r1Tp4ItemmNtC1r4SendEL_E", "r::gen::<dyn r::T<Item = u32> + r::Send>"},
        {"_RINvC1r3genDINtC1r1FThEEp6OutputjEL_E", "r::gen::<dyn r::F<(u8,), Output = usize>>"},
        {"_RINvC1r3genNtC1r1SB9_E", "r::gen::<r::S, r::S>"},
        {"_RNvC1ru8gdel_5qa", "r::g\xc3\xb6"
                              "del"},
        {"_RNvC1r3foo.llvm.1234", "r::foo"},
        {"_RINvC1r3genhEC1x", "r::gen::<u8>"},
    };
    CHECK(pairs);
}

Test(rust, v0_constants) {
    static const struct pair pairs[] = {
        {"_RINvC1r3genKj3_E", "r::gen::<3>"},
        {"_RINvC1r3genKan3_E", "r::gen::<-3>"},
        {"_RINvC1r3genKb1_KpE", "r::gen::<true, _>"},
        {"_RINvC1r3genKc78_E", "r::gen::<'x'>"},
        {"_RINvC1r3genKcd800_E", NULL},
        {"_RINvC1r3genAhj20_E", "r::gen::<[u8; 32]>"},
        {"_RINvC1r3genKo123456789abcdef01234_E", "r::gen::<0x123456789abcdef01234>"},
        {"_RINvC1r3genKRe616263_E", "r::gen::<\"abc\">"},
        {"_RINvC1r3genKTj1_b0_EE", "r::gen::<{(1, false)}>"},
        {"_RINvC1r3genKAj1_j2_EE", "r::gen::<{[1, 2]}>"},
        {"_RINvC1r3genKVNtC1r1SS1xj1_1yj2_EE", "r::gen::<{r::S { x: 1, y: 2 }}>"},
    };
    CHECK(pairs);
}

Test(rust, hostile_names_end) {
    static const struct pair pairs[] = {
        {"_R", NULL},
        {"_RNvB_3foo", NULL}, /* refers to itself */
        {"_RNvC9999999999999999999999a1b", NULL},
        {"_RNvCszzzzzzzzzzzzzzz_1a1b", NULL}, /* 64 bits overflow */
    };
    CHECK(pairs);
    /* each tuple is the one before twice: 2^26 of them but for the bound on output */
    char tuples[400] = "_RIC1aTeeE";
    for (unsigned last = 4, i = 0; i < 26; i++) {
        size_t n = strlen(tuples);
        const char *base62 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        char ref[5] = {base62[(last - 1) / 62], base62[(last - 1) % 62], '_'};
        snprintf(tuples + n, sizeof tuples - n, "TB%sB%sE", ref, ref);
        last = (unsigned)n - 2;
    }
    cr_assert_null(rust_demangle(strcat(tuples, "E")));
    char deep[4000] = "_R";
    memset(deep + 2, 'I', sizeof deep - 3);
    cr_assert_null(rust_demangle(deep));
}

Test(rust, any_changed_character_is_survived) {
    static const char name[] =
        "_RINvC1r3genDINtC1r1FThEEp6OutputjEL_KVNtC1r1SS1xj1_1yj2_EFG_RL0_eEeu8gdel_5qaBa_E";
    static const char letters[] = "_0129azABCDEFGIKLMNOPQRSTUVXYpsun";
    struct rng rng = {7};
    for (int i = 0; i < 100000; i++) {
        char copy[sizeof name];
        memcpy(copy, name, sizeof name);
        for (int j = 0; j < 3; j++)
            copy[2 + rng_below(&rng, sizeof name - 3)] =
                letters[rng_below(&rng, sizeof letters - 1)];
        free(rust_demangle(copy));
    }
}
