/* ANYWHERE. Two threads may look for one page at once: they find and store the same. */
#include "agent/eh_index.h"

#include "agent/agent.h"

enum { PAGE_BITS = 12, STEP_BITS = 9, MAX_PAGES = 1 << 16, AT_ONCE = 4, TURNS = 8 };

struct hdr_row {
    int32_t start, record; /* from the header */
};

static const struct hdr_row *rows(const struct module *m) {
    return (const struct hdr_row *)(m->eh_hdr + 12);
}

/* Of the rows from `from` on: the last that begins at or before key, or the first. */
static __attribute__((noinline)) uint32_t search(const struct module *m, uint32_t from,
                                                 int32_t key) {
    const struct hdr_row *r = rows(m);
    uint32_t n = m->eh_rows - from;
    while (n > 1) {
        uint32_t half = n / 2;
        from = r[from + half].start <= key ? from + half : from;
        n -= half;
    }
    return from;
}

/* The same for a row that lies near: it counts how many of the next four begin in front of key,
 * which is nothing to guess wrong at. */
static inline uint32_t walk_on(const struct module *m, uint32_t from, int32_t key) {
    const struct hdr_row *r = rows(m);
    for (unsigned turn = 0; turn < TURNS && m->eh_rows - from > AT_ONCE; turn++) {
        const struct hdr_row *next = &r[from + 1];
        unsigned n = (next[0].start <= key) + (next[1].start <= key) + (next[2].start <= key) +
                     (next[3].start <= key);
        from += n;
        if (n < AT_ONCE)
            return from;
    }
    return search(m, from, key);
}

/* NULL without memory, or for more code than 256 MB. */
static __attribute__((noinline)) struct eh_index *make(struct module *m) {
    struct eh_index *x = NULL;
    uint64_t pages = (m->end - m->start) >> PAGE_BITS;
    if (pages > MAX_PAGES)
        return NULL;
    struct eh_index *fresh = arena_alloc(&agent.arena, sizeof *x + pages * sizeof x->page[0]);
    if (!fresh)
        return NULL;
    fresh->pages = (uint32_t)pages;
    return atomic_compare_exchange_strong(&m->index, &x, fresh) ? fresh : x;
}

static inline struct eh_index *index_of(struct module *m) {
    struct eh_index *x = atomic_load_explicit(&m->index, memory_order_acquire);
    return x ? x : make(m);
}

static int32_t key_of(const struct module *m, uint64_t pc) {
    int64_t key = (int64_t)(pc - m->eh_hdr);
    return key > INT32_MAX ? INT32_MAX : key < INT32_MIN ? INT32_MIN : (int32_t)key;
}

/* How far apart records are, from those of two rows; 255 or more: 255. */
static uint64_t apart(const struct module *m, uint32_t from, uint32_t to) {
    int64_t bytes = (int64_t)rows(m)[to].record - rows(m)[from].record;
    int64_t each = to > from ? bytes / (to - from) : 0;
    return each < 0 ? 0 : each > UINT8_MAX ? UINT8_MAX : (uint64_t)each;
}

/* One search of the whole table, and its next dozen of rows. */
static __attribute__((noinline)) uint32_t fill(const struct module *m, struct eh_page *p,
                                               uint64_t start) {
    uint32_t first = search(m, 0, key_of(m, start)), row = first;
    uint64_t steps = 0;
    for (unsigned i = 1; i < 1 << (PAGE_BITS - STEP_BITS); i++) {
        row = walk_on(m, row, key_of(m, start + ((uint64_t)i << STEP_BITS)));
        steps |= (uint64_t)(row - first < UINT8_MAX ? row - first : UINT8_MAX) << 8 * i;
    }
    steps |= apart(m, first, row);
    atomic_store_explicit(&p->record, rows(m)[first].record, memory_order_relaxed);
    atomic_store_explicit(&p->steps, steps, memory_order_relaxed);
    atomic_store_explicit(&p->row, first + 1, memory_order_release);
    return first + 1;
}

/* The record may lie in the second line as well. Wrong addresses are as good as none. */
static inline void prefetch(uint64_t near) {
    enum { LINE = 64 };
    __builtin_prefetch((const void *)near);
    __builtin_prefetch((const void *)(near + LINE));
}

/* Records mostly lie in the order of their functions, so where this one is can be guessed while the
 * row is still on its way from memory. */
static uint32_t row_near(const struct module *m, struct eh_index *x, uint64_t offset) {
    struct eh_page *p = &x->page[offset >> PAGE_BITS];
    uint32_t row = atomic_load_explicit(&p->row, memory_order_acquire);
    if (!row)
        row = fill(m, p, m->start + (offset >> PAGE_BITS << PAGE_BITS));
    unsigned step = offset >> STEP_BITS & ((1 << (PAGE_BITS - STEP_BITS)) - 1);
    uint64_t steps = atomic_load_explicit(&p->steps, memory_order_relaxed);
    uint32_t more = step ? steps >> 8 * step & UINT8_MAX : 0;
    prefetch(m->eh_hdr + (uint64_t)(int64_t)atomic_load_explicit(&p->record, memory_order_relaxed) +
             more * (steps & UINT8_MAX));
    row += more;
    return row <= m->eh_rows ? row - 1 : 0; /* more only where the file changes under us */
}

uint64_t eh_index_find(struct module *m, uint64_t pc) {
    int64_t key = (int64_t)(pc - m->eh_hdr);
    if (key != (int32_t)key || m->eh_rows == 0)
        return 0;
    struct eh_index *x = index_of(m);
    bool in = x && pc >= m->start && (pc - m->start) >> PAGE_BITS < x->pages;
    uint32_t at =
        in ? walk_on(m, row_near(m, x, pc - m->start), (int32_t)key) : search(m, 0, (int32_t)key);
    const struct hdr_row *row = &rows(m)[at];
    return row->start <= key ? m->eh_hdr + (uint64_t)(int64_t)row->record : 0;
}

uint64_t eh_index_next(const struct module *m, uint64_t pc) {
    int32_t key = key_of(m, pc);
    uint32_t at = m->eh_rows ? search(m, 0, key) : 0;
    at += at < m->eh_rows && rows(m)[at].start <= key;
    return at < m->eh_rows ? m->eh_hdr + (uint64_t)(int64_t)rows(m)[at].start : UINT64_MAX;
}
