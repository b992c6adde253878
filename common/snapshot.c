#include "common/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "common/fmt.h"

enum { BLOCK = 64 << 10 };

struct snapshot_block {
    struct snapshot_block *older;
    size_t used, size;
    _Alignas(16) char data[];
};

void *snapshot_alloc(struct snapshot *s, size_t n) {
    n = (n + 15) & ~(size_t)15;
    struct snapshot_block *b = s->blocks;
    if (!b || b->size - b->used < n) {
        size_t size = n > BLOCK ? n : BLOCK;
        struct snapshot_block *fresh = malloc(sizeof *fresh + size);
        if (!fresh)
            return NULL;
        *fresh = (struct snapshot_block){.older = b, .size = size};
        s->blocks = b = fresh;
    }
    void *p = b->data + b->used;
    b->used += n;
    return memset(p, 0, n);
}

/* Length of the valid UTF-8 sequence at p (Unicode 15, table 3-7), 0 if there is none. */
static size_t utf8_length(const unsigned char *p, size_t n) {
    if (p[0] < 0x80)
        return p[0] ? 1 : 0;
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

const char *snapshot_text(struct snapshot *s, const char *from, size_t n) {
    char *to = snapshot_alloc(s, n + 1);
    if (!to)
        return NULL;
    const unsigned char *p = (const unsigned char *)from;
    for (size_t i = 0; i < n;) {
        size_t len = utf8_length(p + i, n - i);
        if (len)
            memcpy(to + i, from + i, len);
        else
            to[i] = '?';
        i += len ? len : 1;
    }
    return to;
}

void snapshot_comment(struct snapshot *s, const char *text) {
    /* Room grows by doubling at powers of two; the old array stays behind in the block. */
    if ((s->n_comments & (s->n_comments - 1)) == 0) {
        const char **more = snapshot_alloc(s, 2 * (s->n_comments + 1) * sizeof *more);
        if (!more)
            return;
        if (s->n_comments)
            memcpy(more, s->comments, s->n_comments * sizeof *more);
        s->comments = more;
    }
    const char *copy = snapshot_text(s, text, strlen(text));
    if (copy)
        s->comments[s->n_comments++] = copy;
}

void snapshot_comment_count(struct snapshot *s, const char *key, uint64_t n) {
    char buf[160];
    struct text t = TEXT_ON(buf);
    text_char(&t, '#');
    text_str(&t, key);
    text_char(&t, '=');
    text_u64(&t, n);
    snapshot_comment(s, buf);
}

void snapshot_done(struct snapshot *s) {
    struct snapshot_block *b = s->blocks;
    while (b) {
        struct snapshot_block *older = b->older;
        free(b);
        b = older;
    }
    *s = (struct snapshot){0};
}
