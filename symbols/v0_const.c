#include "symbols/v0_const.h"

#include <string.h>

#include "symbols/v0_path.h"

/* Lower-case hex digits up to "_". */
static struct piece hex_digits(struct v0 *v) {
    struct piece p = {v->s + v->at, 0};
    while (!v->bad && !v0_eat(v, '_')) {
        v->bad |= hex_digit(v0_next(v)) < 0;
        p.n++;
    }
    return p;
}

static bool hex_value(struct piece p, uint64_t *ret_value) {
    while (p.n > 1 && *p.at == '0') {
        p.at++;
        p.n--;
    }
    uint64_t x = 0;
    for (size_t i = 0; i < p.n; i++)
        x = 16 * x + (uint64_t)hex_digit(p.at[i]);
    *ret_value = x;
    return p.n <= 16;
}

static void v0_integer(struct v0 *v, bool may_be_negative) {
    if (may_be_negative && v0_eat(v, 'n'))
        v0_print(v, "-");
    struct piece hex = hex_digits(v);
    uint64_t x;
    if (v->bad || hex_value(hex, &x)) {
        if (!v->bad)
            v0_print_number(v, x);
        return;
    }
    v0_print(v, "0x");
    v0_print_ident(v, (struct v0_ident){.text = hex});
}

/* One character between quotes, as Rust's own Debug writes it. */
static void print_quoted(struct v0 *v, uint32_t c, char quote) {
    static const char escapes[] = "\tt\nn\rr\\\\";
    const char *escape = c && c < 0x80 ? strchr("\t\n\r\\", (int)c) : NULL;
    if (v->silent || v->bad)
        return;
    if (escape) {
        text_char(v->out, '\\');
        text_char(v->out, strchr(escapes, (int)c)[1]);
    } else if (c == (unsigned char)quote) {
        text_char(v->out, '\\');
        text_char(v->out, quote);
    } else if (c < 0x20 || c == 0x7f) {
        text_str(v->out, c ? "\\u{" : "\\0");
        if (c) {
            text_hex(v->out, c);
            text_char(v->out, '}');
        }
    } else {
        mangled_utf8(v->out, c);
    }
}

static void v0_char(struct v0 *v) {
    uint64_t c;
    struct piece hex = hex_digits(v);
    if (v->bad || !hex_value(hex, &c) || !is_unicode(c)) {
        v->bad = true;
        return;
    }
    v0_print(v, "'");
    print_quoted(v, (uint32_t)c, '\'');
    v0_print(v, "'");
}

/* Bytes of UTF-8 in hex; they are passed on as they are, the reader of names checks UTF-8 anyway.
 */
static void v0_string(struct v0 *v) {
    struct piece hex = hex_digits(v);
    if (hex.n % 2)
        v->bad = true;
    v0_print(v, "\"");
    for (size_t i = 0; !v->bad && !v->silent && i < hex.n; i += 2) {
        unsigned c = (unsigned)(hex_digit(hex.at[i]) << 4 | hex_digit(hex.at[i + 1]));
        if (c < 0x80)
            print_quoted(v, c, '"');
        else
            text_char(v->out, (char)c);
        v->bad |= v->out->cut;
    }
    v0_print(v, "\"");
}

static void v0_const_element(struct v0 *v) { v0_const(v, true); }

static void v0_const_field(struct v0 *v) {
    v0_tagged62(v, 's');
    v0_print_ident(v, v0_identifier(v));
    v0_print(v, ": ");
    v0_const(v, true);
}

/* Unit "U", tuple "T" or struct "S" value of the type at path. */
static void v0_const_adt(struct v0 *v) {
    v0_path(v, true);
    char form = v0_next(v);
    if (form == 'T') {
        v0_print(v, "(");
        v0_list(v, v0_const_element, ", ");
        v0_print(v, ")");
    } else if (form == 'S') {
        v0_print(v, " { ");
        v0_list(v, v0_const_field, ", ");
        v0_print(v, " }");
    } else if (form != 'U') {
        v->bad = true;
    }
}

/* Outside of another value, what is no plain literal stands in braces. */
static void v0_const_compound(struct v0 *v, char tag, bool in_value) {
    v0_print(v, in_value ? "" : "{");
    if (tag == 'e') {
        v0_print(v, "*");
        v0_string(v);
    } else if (tag == 'A') {
        v0_print(v, "[");
        v0_list(v, v0_const_element, ", ");
        v0_print(v, "]");
    } else if (tag == 'T') {
        v0_print(v, "(");
        v0_print(v, v0_list(v, v0_const_element, ", ") == 1 ? ",)" : ")");
    } else if (tag == 'V') {
        v0_const_adt(v);
    } else {
        v0_print(v, tag == 'Q' ? "&mut " : "&");
        v0_const(v, true);
    }
    v0_print(v, in_value ? "" : "}");
}

void v0_const(struct v0 *v, bool in_value) {
    if (!v0_enter(v))
        return;
    size_t start = v->at;
    char tag = v0_next(v);
    uint64_t truth;
    if (tag == 'p')
        v0_print(v, "_");
    else if (tag == 'B')
        v0_backref(v, start, v0_const, in_value);
    else if (tag == 'b')
        v0_print(v, hex_value(hex_digits(v), &truth) && truth < 2 ? truth ? "true" : "false" : "?");
    else if (tag == 'c')
        v0_char(v);
    else if (tag && strchr("hmtyoj", tag))
        v0_integer(v, false);
    else if (tag && strchr("aslxni", tag))
        v0_integer(v, true);
    else if (tag == 'R' && v0_eat(v, 'e'))
        v0_string(v); /* a &str needs neither & nor braces */
    else if (tag && strchr("eATVRQ", tag))
        v0_const_compound(v, tag, in_value);
    else
        v->bad = true;
    v->depth--;
}
