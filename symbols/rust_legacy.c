#include "symbols/rust_legacy.h"

#include <string.h>

#include "symbols/mangled.h"
#include "symbols/rust.h"

/* The next <decimal length><bytes>; false at the end or when it does not fit. */
static bool legacy_piece(const char **s, struct piece *ret_piece) {
    size_t n = 0;
    const char *p = *s;
    if (!is_digit(*p))
        return false;
    while (is_digit(*p) && n < RUST_NAME_MAX)
        n = 10 * n + (size_t)(*p++ - '0');
    if (strnlen(p, n) < n)
        return false;
    *ret_piece = (struct piece){p, n};
    *s = p + n;
    return true;
}

static bool is_legacy_hash(struct piece p) {
    if (p.n != 17 || p.at[0] != 'h')
        return false;
    for (size_t i = 1; i < p.n; i++)
        if (hex_digit(p.at[i]) < 0)
            return false;
    return true;
}

/* "$LT$" and its like; the number of bytes read, 0 when it is none of them. */
static size_t legacy_escape(const char *s, size_t n, struct text *out) {
    static const struct {
        char code[3];
        char c;
    } codes[] = {{"SP", '@'}, {"BP", '*'}, {"RF", '&'}, {"LT", '<'},
                 {"GT", '>'}, {"LP", '('}, {"RP", ')'}};
    const char *end = memchr(s + 1, '$', n - 1);
    if (!end)
        return 0;
    size_t inner = (size_t)(end - s) - 1;
    if (inner == 1 && s[1] == 'C') {
        text_char(out, ',');
        return 3;
    }
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (inner == 2 && memcmp(s + 1, codes[i].code, 2) == 0) {
            text_char(out, codes[i].c);
            return 4;
        }
    uint32_t c = 0;
    if (inner < 2 || inner > 7 || s[1] != 'u')
        return 0;
    for (size_t i = 2; i <= inner; i++) {
        if (hex_digit(s[i]) < 0)
            return 0;
        c = 16 * c + (uint32_t)hex_digit(s[i]);
    }
    if (c < 0x20 || !is_unicode(c))
        return 0;
    mangled_utf8(out, c);
    return inner + 2;
}

static void legacy_print(struct piece p, struct text *out) {
    size_t i = p.n > 1 && p.at[0] == '_' && p.at[1] == '$';
    while (i < p.n) {
        size_t escape = p.at[i] == '$' ? legacy_escape(p.at + i, p.n - i, out) : 0;
        if (escape) {
            i += escape;
        } else if (p.at[i] == '.' && i + 1 < p.n && p.at[i + 1] == '.') {
            text_str(out, "::");
            i += 2;
        } else {
            text_char(out, p.at[i++]);
        }
    }
}

bool rust_legacy(const char *s, struct text *out) {
    struct piece p, next;
    if (!legacy_piece(&s, &p))
        return false;
    for (bool first = true; legacy_piece(&s, &next); p = next, first = false) {
        if (!first)
            text_str(out, "::");
        legacy_print(p, out);
    }
    return is_legacy_hash(p) && out->len > 0 && s[0] == 'E' && (!s[1] || s[1] == '.');
}
