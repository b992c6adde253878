/*
 * Which scheme a name is in, and the room for its text: of fixed size, so that references to
 * references cannot blow up.
 */
#include "symbols/rust.h"

#include <stdlib.h>
#include <string.h>

#include "symbols/rust_legacy.h"
#include "symbols/v0_path.h"

/* A name, then perhaps the crate that asked for it, then perhaps a suffix of the code generator. */
static bool v0_symbol(const char *s, struct text *out) {
    size_t n = strcspn(s, ".$");
    struct v0 v = {.s = s, .n = n, .out = out};
    if (!is_upper(*s))
        return false;
    v0_path(&v, true);
    if (!v.bad && v.at < v.n) {
        v.silent = true;
        v0_path(&v, false);
    }
    return !v.bad && v.at == v.n;
}

char *rust_demangle(const char *mangled) {
    bool is_v0 = mangled[0] == '_' && mangled[1] == 'R';
    if (!is_v0 && strncmp(mangled, "_ZN", 3) != 0)
        return NULL;
    char *buffer = malloc(RUST_NAME_MAX);
    if (!buffer)
        return NULL;
    struct text out = {.at = buffer, .cap = RUST_NAME_MAX};
    if ((is_v0 ? v0_symbol(mangled + 2, &out) : rust_legacy(mangled + 3, &out)) && !out.cut)
        return buffer;
    free(buffer);
    return NULL;
}
