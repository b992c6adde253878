/* Tests symbols/demangle.c. The C++ demangler is brought by the test itself, as a host's plugin
 * would. */
#include "symbols/demangle.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static void expect(const char *mangled, const char *name) {
    char *its = demangle(mangled);
    cr_expect(its && strcmp(its, name) == 0, "%s: %s, not %s", mangled, its, name);
    free(its);
}

static void load_cxx(void) {
    if (!dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL))
        cr_skip_test("no libstdc++");
    demangle_load();
}

Test(demangle, plain_names_are_left_alone) {
    cr_assert_null(demangle("malloc"));
    cr_assert_null(demangle(""));
    cr_assert_null(demangle("_"));
    cr_assert_null(demangle("_start"));
    cr_assert_null(demangle("_Zebra"));
}

Test(demangle, both_rust_schemes_are_read) {
    expect("_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write");
    expect("_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar");
}

Test(demangle, cxx_loses_parameters_and_keeps_template_arguments, .init = load_cxx) {
    expect("_Z5inneri", "inner");
    expect("_ZN2ns1AIiEclEi", "ns::A<int>::operator()");
    expect("_ZN2nslsERNS_1AIiEEi", "ns::operator<<");
    expect("_ZN2nsltERKNS_1AIiEES3_", "ns::operator<");
    expect("_ZN2ns12_GLOBAL__N_16hiddenESt8functionIFicEE", "ns::(anonymous namespace)::hidden");
    expect("_ZNSt8functionIFicEED2Ev", "std::function<int (char)>::~function");
    expect("_ZNK1CcviEv", "C::operator int");
    expect("_ZN1CptEv", "C::operator->");
    expect("_ZZN2ns1AIiE1gIPKcEEvT_ENKUliE_clEi",
           "ns::A<int>::g<char const*>(char const*)::{lambda(int)#1}::operator()");
    expect("_Z3foov.cold", "foo");
}

Test(demangle, what_is_no_cxx_name_or_too_long_stays, .init = load_cxx) {
    cr_assert_null(demangle("_Zzzzz"));
    char name[2 * 600 + 6] = "_ZN";
    for (int i = 0; i < 600; i++)
        strcat(name, "1a");
    cr_assert_null(demangle(strcat(name, "Ev")));
}
