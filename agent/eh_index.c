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
static uint32_t search(const struct module *m, uint32_t from, int32_t key) {
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
static uint32_t walk_on(const struct module *m, uint32_t from, int32_t key) {
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
static struct eh_index *index_of(struct module *m) {
    struct eh_index *x = atomic_load_explicit(&m->index, memory_order_acquire);
    uint64_t pages = (m->end - m->start) >> PAGE_BITS;
    if (x || pages > MAX_PAGES)
        return x;
    struct eh_index *fresh = arena_alloc(&agent.arena, sizeof *x + pages * sizeof x->page[0]);
    if (!fresh)
        return NULL;
    fresh->pages = (uint32_t)pages;
    return atomic_compare_exchange_strong(&m->index, &x, fresh) ? fresh : x;
}

static int32_t key_of(const struct module *m, uint64_t pc) {
    int64_t key = (int64_t)(pc - m->eh_hdr);
    return key > INT32_MAX ? INT32_MAX : key < INT32_MIN ? INT32_MIN : (int32_t)key;
}

/* One search of the whole table, and its next dozen of rows. */
static uint32_t fill(const struct module *m, struct eh_page *p, uint64_t start) {
    uint32_t first = search(m, 0, key_of(m, start)), row = first;
    uint64_t steps = 0;
    for (unsigned i = 1; i < 1 << (PAGE_BITS - STEP_BITS); i++) {
        row = walk_on(m, row, key_of(m, start + ((uint64_t)i << STEP_BITS)));
        steps |= (uint64_t)(row - first < UINT8_MAX ? row - first : UINT8_MAX) << 8 * i;
    }
    atomic_store_explicit(&p->steps, steps, memory_order_relaxed);
    atomic_store_explicit(&p->row, first + 1, memory_order_release);
    return first + 1;
}

static uint32_t row_near(const struct module *m, struct eh_index *x, uint64_t offset) {
    struct eh_page *p = &x->page[offset >> PAGE_BITS];
    uint32_t row = atomic_load_explicit(&p->row, memory_order_acquire);
    if (!row)
        row = fill(m, p, m->start + (offset >> PAGE_BITS << PAGE_BITS));
    unsigned step = offset >> STEP_BITS & ((1 << (PAGE_BITS - STEP_BITS)) - 1);
    uint64_t steps = atomic_load_explicit(&p->steps, memory_order_relaxed);
    row += steps >> 8 * step & UINT8_MAX;
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
