#pragma once
/* ANYWHERE. Reading numbers out of a bounded span. A read past its end gives 0 and sets `bad`, so
 * that a parser looks once, at the end, and still never touches a byte that is not there. */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct cfi_reader {
    const uint8_t *p, *end;
    bool bad;
};

static inline bool cfi_has(struct cfi_reader *r, size_t n) {
    if ((size_t)(r->end - r->p) >= n)
        return true;
    r->bad = true;
    r->p = r->end;
    return false;
}

static inline void cfi_skip(struct cfi_reader *r, uint64_t n) {
    if (n > (uint64_t)(r->end - r->p)) {
        r->bad = true;
        n = (uint64_t)(r->end - r->p);
    }
    r->p += n;
}

#define CFI_READ(bits)                                               \
    static inline uint##bits##_t cfi_u##bits(struct cfi_reader *r) { \
        uint##bits##_t v = 0;                                        \
        if (cfi_has(r, sizeof v)) {                                  \
            memcpy(&v, r->p, sizeof v);                              \
            r->p += sizeof v;                                        \
        }                                                            \
        return v;                                                    \
    }
CFI_READ(8)
CFI_READ(16)
CFI_READ(32)
CFI_READ(64)
#undef CFI_READ

static inline uint64_t cfi_uleb(struct cfi_reader *r) {
    uint64_t v = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = cfi_u8(r);
        if (shift < 64)
            v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return v;
    }
}

static inline int64_t cfi_sleb(struct cfi_reader *r) {
    uint64_t v = 0;
    for (unsigned shift = 0;;) {
        uint8_t byte = cfi_u8(r);
        if (shift < 64)
            v |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
        if (!(byte & 0x80))
            return (int64_t)(shift < 64 && (byte & 0x40) ? v | ~(uint64_t)0 << shift : v);
    }
}
