#include "symbols/v0_type.h"

#include "symbols/v0_const.h"
#include "symbols/v0_path.h"

static const char *basic_type(char c) {
    static const char *const names[26] = {"i8",   "bool",  "char",  "f64", "str", "f32", NULL,
                                          "u8",   "isize", "usize", NULL,  "i32", "u32", "i128",
                                          "u128", "_",     NULL,    NULL,  "i16", "u16", "()",
                                          "...",  NULL,    "i64",   "u64", "!"};
    return is_lower(c) ? names[c - 'a'] : NULL;
}

static void v0_function_type(struct v0 *v) {
    uint64_t bound = v0_binder(v);
    v0_print(v, v0_eat(v, 'U') ? "unsafe " : "");
    if (v0_eat(v, 'K')) {
        v0_print(v, "extern \"");
        struct v0_ident abi =
            v0_eat(v, 'C') ? (struct v0_ident){.text = {"C", 1}} : v0_identifier(v);
        for (size_t i = 0; i < abi.text.n; i++)
            v0_print(v, (char[]){abi.text.at[i] == '_' ? '-' : abi.text.at[i], '\0'});
        v0_print(v, "\" ");
    }
    v0_print(v, "fn(");
    v0_list(v, v0_type, ", ");
    v0_print(v, ")");
    if (!v0_eat(v, 'u')) {
        v0_print(v, " -> ");
        v0_type(v);
    }
    v->lifetimes -= bound;
}

static void v0_dyn_trait(struct v0 *v) {
    bool open = v0_path_open(v);
    while (v0_eat(v, 'p')) {
        v0_print(v, open ? ", " : "<");
        open = true;
        v0_print_ident(v, v0_identifier(v));
        v0_print(v, " = ");
        v0_type(v);
    }
    v0_print(v, open ? ">" : "");
}

static void v0_dyn(struct v0 *v) {
    v0_print(v, "dyn ");
    uint64_t bound = v0_binder(v);
    v0_list(v, v0_dyn_trait, " + ");
    v->lifetimes -= bound;
    if (!v0_eat(v, 'L')) {
        v->bad = true;
        return;
    }
    uint64_t lifetime = v0_base62(v);
    if (lifetime) {
        v0_print(v, " + ");
        v0_lifetime(v, lifetime);
    }
}

static void v0_reference(struct v0 *v, bool is_mut) {
    v0_print(v, "&");
    if (v0_eat(v, 'L')) {
        uint64_t lifetime = v0_base62(v);
        if (lifetime) {
            v0_lifetime(v, lifetime);
            v0_print(v, " ");
        }
    }
    v0_print(v, is_mut ? "mut " : "");
    v0_type(v);
}

static void v0_type_ref(struct v0 *v, bool in_value) { v0_type(v); }

void v0_type(struct v0 *v) {
    if (!v0_enter(v))
        return;
    size_t start = v->at;
    char tag = v0_next(v);
    const char *basic = basic_type(tag);
    switch (basic ? '\0' : tag) {
    case '\0': v0_print(v, basic ? basic : ""); break;
    case 'A':
    case 'S':
        v0_print(v, "[");
        v0_type(v);
        if (tag == 'A') {
            v0_print(v, "; ");
            v0_const(v, true);
        }
        v0_print(v, "]");
        break;
    case 'T':
        v0_print(v, "(");
        v0_print(v, v0_list(v, v0_type, ", ") == 1 ? ",)" : ")");
        break;
    case 'R':
    case 'Q': v0_reference(v, tag == 'Q'); break;
    case 'P':
    case 'O':
        v0_print(v, tag == 'P' ? "*const " : "*mut ");
        v0_type(v);
        break;
    case 'F': v0_function_type(v); break;
    case 'D': v0_dyn(v); break;
    case 'B': v0_backref(v, start, v0_type_ref, false); break;
    default: v->at = start; v0_path(v, false);
    }
    v->depth--;
}
