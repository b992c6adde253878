#pragma once
/* What all readers of mangled names need: pieces of the name, ASCII without locale, UTF-8. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/fmt.h"

struct piece {
    const char *at;
    size_t n;
};

static inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
static inline bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static inline bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
/* -1 when it is none; capitals are none. */
static inline int hex_digit(char c) {
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A surrogate is no character. */
static inline bool is_unicode(uint64_t c) { return c <= 0x10ffff && !(c >= 0xd800 && c < 0xe000); }

static inline void mangled_utf8(struct text *t, uint32_t c) {
    char b[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; c >>= 6)
        b[i] = (char)(0x80 | (c & 0x3f));
    b[0] = (char)(lead[n] | c);
    text_bytes(t, b, n);
}
