#include "symbols/v0_path.h"

#include "symbols/v0_const.h"
#include "symbols/v0_type.h"

static void v0_generic_arg(struct v0 *v) {
    if (v0_eat(v, 'L'))
        v0_lifetime(v, v0_base62(v));
    else if (v0_eat(v, 'K'))
        v0_const(v, false);
    else
        v0_type(v);
}

/* "::name", or "::{closure:name#0}" for what has no name in the source. */
static void v0_nested(struct v0 *v, bool in_value) {
    char space = v0_next(v);
    v0_path(v, in_value);
    uint64_t number = v0_tagged62(v, 's');
    struct v0_ident name = v0_identifier(v);
    if (is_upper(space)) {
        v0_print(v, "::{");
        v0_print(v, space == 'C' ? "closure" : space == 'S' ? "shim" : (char[]){space, '\0'});
        v0_print(v, name.text.n ? ":" : "");
        v0_print_ident(v, name);
        v0_print(v, "#");
        v0_print_number(v, number);
        v0_print(v, "}");
    } else if (is_lower(space)) {
        v0_print(v, name.text.n ? "::" : "");
        v0_print_ident(v, name);
    } else {
        v->bad = true;
    }
}

/* The path of an impl block says where it stands, not what it is: nobody reads it. */
static void v0_impl_path(struct v0 *v) {
    bool silent = v->silent;
    v->silent = true;
    v0_tagged62(v, 's');
    v0_path(v, false);
    v->silent = silent;
}

void v0_path(struct v0 *v, bool in_value) {
    if (!v0_enter(v))
        return;
    size_t start = v->at;
    char tag = v0_next(v);
    switch (tag) {
    case 'C':
        v0_tagged62(v, 's');
        v0_print_ident(v, v0_identifier(v));
        break;
    case 'N': v0_nested(v, in_value); break;
    case 'M':
    case 'X':
    case 'Y':
        if (tag != 'Y')
            v0_impl_path(v);
        v0_print(v, "<");
        v0_type(v);
        if (tag != 'M') {
            v0_print(v, " as ");
            v0_path(v, false);
        }
        v0_print(v, ">");
        break;
    case 'I':
        v0_path(v, in_value);
        v0_print(v, in_value ? "::<" : "<");
        v0_list(v, v0_generic_arg, ", ");
        v0_print(v, ">");
        break;
    case 'B': v0_backref(v, start, v0_path, in_value); break;
    default: v->bad = true;
    }
    v->depth--;
}

bool v0_path_open(struct v0 *v) {
    size_t start = v->at;
    bool open = false;
    if (!v0_enter(v))
        return false;
    if (v0_eat(v, 'B')) {
        uint64_t to = v0_base62(v);
        size_t back = v->at;
        if (to >= start)
            v->bad = true;
        if (!v->bad && !v->silent) {
            v->at = to;
            open = v0_path_open(v);
            v->at = back;
        }
    } else if (v0_eat(v, 'I')) {
        v0_path(v, false);
        v0_print(v, "<");
        v0_list(v, v0_generic_arg, ", ");
        open = true;
    } else {
        v0_path(v, false);
    }
    v->depth--;
    return open;
}
