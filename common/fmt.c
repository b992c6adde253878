#include "common/fmt.h"

#include <errno.h>

void text_bytes(struct text *t, const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        text_char(t, s[i]);
}

void text_str(struct text *t, const char *s) {
    for (s = s ? s : "(null)"; *s; s++)
        text_char(t, *s);
}

void text_char(struct text *t, char c) {
    if (t->len + 1 >= t->cap) {
        t->cut = true;
        return;
    }
    t->at[t->len++] = c;
    t->at[t->len] = '\0';
}

static void number(struct text *t, uint64_t v, unsigned base, unsigned width) {
    char digits[64];
    unsigned n = 0;
    do
        digits[n++] = "0123456789abcdef"[v % base];
    while ((v /= base) != 0);
    while (n < width && n < sizeof digits)
        digits[n++] = '0';
    while (n > 0)
        text_char(t, digits[--n]);
}

void text_u64(struct text *t, uint64_t v) { number(t, v, 10, 1); }

void text_i64(struct text *t, int64_t v) {
    if (v < 0)
        text_char(t, '-');
    number(t, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 10, 1);
}

void text_hex(struct text *t, uint64_t v) { number(t, v, 16, 1); }

void text_pad(struct text *t, uint64_t v, unsigned width) { number(t, v, 10, width); }

void text_fixed(struct text *t, uint64_t v, uint64_t unit, unsigned digits) {
    text_u64(t, v / unit);
    if (!digits)
        return;
    text_char(t, '.');
    uint64_t rest = v % unit;
    for (unsigned i = 0; i < digits; i++) {
        rest *= 10;
        text_char(t, (char)('0' + rest / unit));
        rest %= unit;
    }
}

static const char *errno_words(int err) {
    switch (err) {
    case EPERM: return "operation not permitted";
    case ENOENT: return "no such file or directory";
    case EIO: return "input/output error";
    case EAGAIN: return "resource temporarily unavailable";
    case ENOMEM: return "out of memory";
    case EACCES: return "permission denied";
    case EEXIST: return "file exists";
    case ENOTDIR: return "not a directory";
    case EISDIR: return "is a directory";
    case EINVAL: return "invalid argument";
    case ENFILE: return "too many open files in system";
    case EMFILE: return "too many open files";
    case EFBIG: return "file too large (RLIMIT_FSIZE)";
    case ENOSPC: return "no space left on device";
    case EROFS: return "read-only file system";
    case ELOOP: return "too many symbolic links";
    case ENAMETOOLONG: return "file name too long";
    case ENOSYS: return "system call not available";
    case EDQUOT: return "disk quota exceeded";
    default: return "error";
    }
}

void text_errno(struct text *t, int err) {
    if (err < 0)
        err = -err;
    text_str(t, errno_words(err));
    text_str(t, " (");
    text_u64(t, (uint64_t)err);
    text_char(t, ')');
}
