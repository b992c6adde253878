#pragma once
/*
 * Text without stdio: stdio locks, allocates and may be the very code a signal interrupted.
 * A struct text never overflows: what does not fit is cut, and `cut` remembers it. Always
 * NUL-terminated.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *at;
    size_t len;
    size_t cap; /* bytes of at, the NUL included */
    bool cut;
};

#define TEXT_ON(buffer) ((struct text){(buffer), 0, sizeof(buffer), false})

void text_bytes(struct text *t, const char *s, size_t n);
void text_str(struct text *t, const char *s); /* NULL writes "(null)" */
void text_char(struct text *t, char c);
void text_u64(struct text *t, uint64_t v);
void text_i64(struct text *t, int64_t v);
void text_hex(struct text *t, uint64_t v);                 /* no 0x */
void text_pad(struct text *t, uint64_t v, unsigned width); /* zero-padded decimal */
void text_fixed(struct text *t, uint64_t v, uint64_t unit,
                unsigned digits);         /* v/unit, digits after the point */
void text_errno(struct text *t, int err); /* "no space left on device (28)" */
