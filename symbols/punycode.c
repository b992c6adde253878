#include "symbols/punycode.h"

#include <string.h>

enum { PUNYCODE_MAX = 128 };

struct punycode {
    uint32_t chars[PUNYCODE_MAX];
    size_t n;
    uint32_t code, bias, damp; /* the last character put in; how numbers are cut into digits */
    size_t insert_at;
};

/* delta counts from the last insertion to this one: all the places for a character, then for the
 * next. */
static bool insert(struct punycode *p, uint64_t delta) {
    uint64_t at = p->insert_at + delta;
    if (p->n == PUNYCODE_MAX)
        return false;
    uint64_t code = p->code + at / (p->n + 1);
    at %= p->n + 1;
    if (!is_unicode(code))
        return false;
    memmove(p->chars + at + 1, p->chars + at, (p->n - at) * sizeof p->chars[0]);
    p->chars[at] = (uint32_t)code;
    p->code = (uint32_t)code;
    p->insert_at = at + 1;
    p->n++;
    delta /= p->damp;
    p->damp = 2;
    delta += delta / p->n;
    uint32_t k = 0;
    for (; delta > 35 * 26 / 2; k += 36)
        delta /= 35;
    p->bias = k + (uint32_t)(36 * delta / (delta + 38));
    return true;
}

static bool decode(struct piece text, struct punycode *p) {
    *p = (struct punycode){.code = 0x80, .bias = 72, .damp = 700};
    size_t at = text.n;
    while (at > 0 && text.at[at - 1] != '_')
        at--;
    if (at > PUNYCODE_MAX)
        return false;
    for (; p->n + 1 < at; p->n++)
        p->chars[p->n] = (unsigned char)text.at[p->n];
    while (at < text.n) {
        uint64_t delta = 0, weight = 1;
        for (uint32_t k = 36;; k += 36) {
            if (at == text.n || weight > UINT32_MAX)
                return false;
            char c = text.at[at++];
            if (!is_lower(c) && !is_digit(c))
                return false;
            uint32_t digit = is_lower(c) ? (uint32_t)(c - 'a') : (uint32_t)(c - '0') + 26;
            uint32_t least = k <= p->bias ? 1 : k >= p->bias + 26 ? 26 : k - p->bias;
            delta += digit * weight;
            if (digit < least)
                break;
            weight *= 36 - least;
        }
        if (!insert(p, delta))
            return false;
    }
    return true;
}
bool punycode_print(struct piece text, struct text *out) {
    struct punycode p;
    if (!decode(text, &p))
        return false;
    for (size_t i = 0; i < p.n; i++)
        mangled_utf8(out, p.chars[i]);
    return true;
}
