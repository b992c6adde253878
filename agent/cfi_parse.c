/*
 * ANYWHERE. One record of .eh_frame. Layout and augmentations: Linux Standard Base, "Exception
 * Frames"; the letters that exist in the wild are z, R, P, L, S, B and the "eh" of gcc 2.
 */
#include "agent/cfi.h"

#include "agent/cfi_read.h"

enum { PE_ABSPTR = 0, PE_ULEB = 1, PE_UDATA2 = 2, PE_UDATA4 = 3, PE_UDATA8 = 4 };
enum { PE_SLEB = 9, PE_SDATA2 = 10, PE_SDATA4 = 11, PE_SDATA8 = 12 };
enum { PE_FORMAT = 0x0f, PE_PCREL = 0x10, PE_BASE = 0x70, PE_INDIRECT = 0x80, PE_OMIT = 0xff };
enum { MAX_RECORD = 1 << 24 };

static uint64_t read_format(struct cfi_reader *r, uint8_t encoding) {
    switch (encoding & PE_FORMAT) {
    case PE_ABSPTR:
    case PE_UDATA8:
    case PE_SDATA8: return cfi_u64(r);
    case PE_ULEB: return cfi_uleb(r);
    case PE_UDATA2: return cfi_u16(r);
    case PE_UDATA4: return cfi_u32(r);
    case PE_SLEB: return (uint64_t)cfi_sleb(r);
    case PE_SDATA2: return (uint64_t)(int64_t)(int16_t)cfi_u16(r);
    case PE_SDATA4: return (uint64_t)(int64_t)(int32_t)cfi_u32(r);
    default: r->bad = true; return 0;
    }
}

/* An address of code. Linkers write absolute and pc-relative ones; no other base is known here. */
static uint64_t read_address(struct cfi_reader *r, const struct cfi_bytes *b, uint8_t encoding) {
    uint64_t here = b->address + (uint64_t)(r->p - b->at);
    uint64_t v = read_format(r, encoding);
    if (encoding & PE_INDIRECT || (encoding & PE_BASE) > PE_PCREL)
        r->bad = true;
    return encoding & PE_PCREL ? here + v : v;
}

/* A record's extent: its reader stands behind the length. False at the terminator and past the end.
 */
static bool record_open(const struct cfi_bytes *b, size_t at, struct cfi_reader *r) {
    *r = (struct cfi_reader){b->at + (at < b->n ? at : b->n), b->at + b->n, at >= b->n};
    uint64_t n = cfi_u32(r);
    if (n == 0xffffffff)
        n = cfi_u64(r);
    if (r->bad || n == 0 || n > MAX_RECORD || n > (uint64_t)(r->end - r->p))
        return false;
    r->end = r->p + n;
    return true;
}

static void read_augmentation(struct cfi_entry *e, struct cfi_reader *r, const char *letters) {
    uint64_t n = cfi_uleb(r);
    const uint8_t *start = r->p;
    for (const char *c = letters + 1; *c && !r->bad; c++) {
        if (*c == 'R')
            e->encoding = cfi_u8(r);
        else if (*c == 'P')
            read_format(r, cfi_u8(r));
        else if (*c == 'L')
            cfi_u8(r);
        else if (*c == 'S')
            e->signal = true;
        else if (*c != 'B')
            break;
    }
    r->p = start;
    cfi_skip(r, n);
}

/* What nearly all of C shares: compared as a whole, 30 ns faster than parsed. */
static bool read_usual(struct cfi_entry *e, size_t at) {
    static const uint8_t usual[] = {20, 0,    0,  0, 0,    0,    0, 0, 1,    'z', 'R', 0,
                                    1,  0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1,   0,   0};
    if (e->bytes.n - at < sizeof usual || memcmp(e->bytes.at + at, usual, sizeof usual) != 0)
        return false;
    e->code_align = 1;
    e->data_align = -8;
    e->encoding = PE_PCREL | PE_SDATA4;
    e->ra = CFI_RA;
    e->augmented = true;
    e->shared = (struct cfi_part){(uint32_t)at + 17, (uint32_t)at + 22};
    return true;
}

/* The record that functions share: alignments, encodings and the state at a function's first byte.
 */
bool cfi_shared_parse(struct cfi_entry *e, size_t at) {
    struct cfi_reader r;
    char letters[16] = "";
    unsigned n = 0;
    if (read_usual(e, at))
        return true;
    if (!record_open(&e->bytes, at, &r) || cfi_u32(&r) != 0)
        return false;
    uint8_t form = cfi_u8(&r);
    for (char c; (c = (char)cfi_u8(&r)) && n < sizeof letters - 1;)
        letters[n++] = c;
    if (letters[0] == 'e' && letters[1] == 'h')
        cfi_skip(&r, 8);
    if (form == 4)
        cfi_skip(&r, 2);
    e->code_align = cfi_uleb(&r);
    e->data_align = cfi_sleb(&r);
    uint64_t ra = form == 1 ? cfi_u8(&r) : cfi_uleb(&r);
    e->augmented = letters[0] == 'z';
    if (e->augmented)
        read_augmentation(e, &r, letters);
    else if (letters[0] && strcmp(letters, "eh") != 0)
        return false;
    e->ra = (uint8_t)ra;
    e->shared = (struct cfi_part){(uint32_t)(r.p - e->bytes.at), (uint32_t)(r.end - e->bytes.at)};
    return !r.bad && ra < CFI_REGS && (form == 1 || form == 3 || form == 4) &&
           e->code_align < 256 && e->data_align > -256 && e->data_align < 256;
}

/* Behind the id: which instructions, then the program. The letters decide whether a length comes
 * between. */
static bool read_own(struct cfi_entry *e, struct cfi_reader *r) {
    e->start = read_address(r, &e->bytes, e->encoding);
    uint64_t n = read_format(r, e->encoding & PE_FORMAT);
    e->end = e->start + n;
    if (e->augmented)
        cfi_skip(r, cfi_uleb(r));
    e->own = (struct cfi_part){(uint32_t)(r->p - e->bytes.at), (uint32_t)(r->end - e->bytes.at)};
    return !r->bad && e->end >= e->start;
}

int cfi_entry_parse(struct cfi_bytes bytes, size_t at, struct cfi_entry *e, size_t *ret_next) {
    struct cfi_reader r;
    *e = (struct cfi_entry){.bytes = bytes};
    if (bytes.n > UINT32_MAX || !record_open(&bytes, at, &r))
        return -1;
    *ret_next = (size_t)(r.end - bytes.at);
    size_t here = (size_t)(r.p - bytes.at);
    uint32_t back = cfi_u32(&r);
    if (r.bad)
        return -1;
    if (back == 0)
        return 0;
    if (back > here || !cfi_shared_parse(e, here - back) || !read_own(e, &r))
        return 0;
    return e->end > e->start;
}

/* Length and id of the record at address, copied to buf as far as there is room. 0: none. */
static size_t gather_one(uint64_t address, uint8_t *buf, size_t cap, cfi_read_fn *read, void *arg) {
    uint32_t n;
    size_t got = read(arg, address, buf, cap);
    if (got < 8)
        return 0;
    memcpy(&n, buf, sizeof n);
    if (n < 4 || n > MAX_RECORD)
        return 0;
    if (n + 4 <= got)
        return n + 4;
    /* A program cut short: the rows up to there are right, and its length has to say so. */
    n = (uint32_t)got - 4;
    memcpy(buf, &n, sizeof n);
    return got;
}

/* [shared][own], with the own record's distance to the shared one made to fit. */
struct cfi_bytes cfi_entry_gather(uint64_t address, uint8_t *buf, size_t cap, cfi_read_fn *read,
                                  void *arg, size_t *ret_at) {
    const struct cfi_bytes none = {0};
    uint32_t back;
    uint8_t head[8];
    if (read(arg, address, head, sizeof head) != sizeof head)
        return none;
    memcpy(&back, head + 4, sizeof back);
    size_t shared = back ? gather_one(address + 4 - back, buf, cap / 4, read, arg) : 0;
    size_t own = shared ? gather_one(address, buf + shared, cap - shared, read, arg) : 0;
    if (!own)
        return none;
    back = (uint32_t)shared + 4;
    memcpy(buf + shared + 4, &back, sizeof back);
    *ret_at = shared;
    return (struct cfi_bytes){buf, shared + own, address - shared};
}
