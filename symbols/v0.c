#include "symbols/v0.h"

#include "symbols/punycode.h"
#include "symbols/rust.h"

enum { MAX_DEPTH = 100 };

void v0_print(struct v0 *v, const char *s) {
    if (!v->silent && !v->bad)
        text_str(v->out, s);
    v->bad |= v->out->cut;
}

void v0_print_number(struct v0 *v, uint64_t n) {
    if (!v->silent && !v->bad)
        text_u64(v->out, n);
}

char v0_peek(const struct v0 *v) { return !v->bad && v->at < v->n ? v->s[v->at] : '\0'; }

bool v0_eat(struct v0 *v, char c) {
    if (v0_peek(v) != c || c == '\0')
        return false;
    v->at++;
    return true;
}

char v0_next(struct v0 *v) {
    char c = v0_peek(v);
    if (c == '\0')
        v->bad = true;
    else
        v->at++;
    return c;
}

uint64_t v0_base62(struct v0 *v) {
    if (v0_eat(v, '_'))
        return 0;
    uint64_t x = 0;
    while (!v->bad && !v0_eat(v, '_')) {
        char c = v0_next(v);
        unsigned digit = is_digit(c)   ? (unsigned)(c - '0')
                         : is_lower(c) ? (unsigned)(c - 'a') + 10
                         : is_upper(c) ? (unsigned)(c - 'A') + 36
                                       : 62;
        v->bad |= digit == 62 || x > (UINT64_MAX - 62) / 62;
        x = 62 * x + digit;
    }
    return x + 1;
}

uint64_t v0_tagged62(struct v0 *v, char tag) { return v0_eat(v, tag) ? v0_base62(v) + 1 : 0; }

struct v0_ident v0_identifier(struct v0 *v) {
    struct v0_ident id = {.punycode = v0_eat(v, 'u')};
    size_t n = 0;
    if (!is_digit(v0_peek(v)))
        v->bad = true;
    if (!v0_eat(v, '0'))
        while (is_digit(v0_peek(v)) && n <= v->n)
            n = 10 * n + (size_t)(v0_next(v) - '0');
    v0_eat(v, '_'); /* parts a length from a name that starts with a digit */
    if (v->bad || n > v->n - v->at) {
        v->bad = true;
        return id;
    }
    id.text = (struct piece){v->s + v->at, n};
    v->at += n;
    return id;
}

void v0_print_ident(struct v0 *v, struct v0_ident id) {
    if (v->silent || v->bad)
        return;
    if (!id.punycode)
        text_bytes(v->out, id.text.at, id.text.n);
    else if (!punycode_print(id.text, v->out))
        v->bad = true;
    v->bad |= v->out->cut;
}

bool v0_enter(struct v0 *v) {
    if (++v->depth > MAX_DEPTH)
        v->bad = true;
    return !v->bad;
}

void v0_backref(struct v0 *v, size_t start, void (*what)(struct v0 *, bool), bool in_value) {
    uint64_t to = v0_base62(v);
    if (to >= start)
        v->bad = true;
    if (v->bad || v->silent)
        return;
    size_t back = v->at;
    v->at = to;
    what(v, in_value);
    v->at = back;
}

unsigned v0_list(struct v0 *v, void (*element)(struct v0 *), const char *between) {
    unsigned n = 0;
    for (; !v->bad && !v0_eat(v, 'E'); n++) {
        v0_print(v, n ? between : "");
        element(v);
    }
    return n;
}

void v0_lifetime(struct v0 *v, uint64_t index) {
    if (index > v->lifetimes) {
        v->bad = true;
        return;
    }
    uint64_t depth = v->lifetimes - index;
    if (index == 0) {
        v0_print(v, "'_");
    } else if (depth < 26) {
        v0_print(v, (char[]){'\'', (char)('a' + depth), '\0'});
    } else {
        v0_print(v, "'_");
        v0_print_number(v, depth);
    }
}

uint64_t v0_binder(struct v0 *v) {
    uint64_t n = v0_tagged62(v, 'G');
    if (n > RUST_NAME_MAX)
        v->bad = true;
    if (n == 0 || v->bad)
        return 0;
    v0_print(v, "for<");
    for (uint64_t i = 0; i < n; i++) {
        v0_print(v, i ? ", " : "");
        v->lifetimes++;
        v0_lifetime(v, 1);
    }
    v0_print(v, "> ");
    return n;
}
