/* ANYWHERE. Two threads may look for one page at once: they find and store the same. */
#include "agent/eh_index.h"

#include "agent/agent.h"

enum { PAGE_BITS = 12, MAX_PAGES = 1 << 16 };

struct hdr_row {
    int32_t start, record; /* from the header */
};

static const struct hdr_row *rows(const struct module *m) {
    return (const struct hdr_row *)(m->eh_hdr + 12);
}

/* Of n rows from `from` on: the last that begins at or before key, or the first. */
static uint32_t search(const struct module *m, uint32_t from, uint32_t n, int32_t key) {
    const struct hdr_row *r = rows(m);
    while (n > 1) {
        uint32_t half = n / 2;
        from = r[from + half].start <= key ? from + half : from;
        n -= half;
    }
    return from;
}

/* NULL without memory, or for more code than 256 MB. */
static struct eh_index *index_of(struct module *m) {
    struct eh_index *x = atomic_load_explicit(&m->index, memory_order_acquire);
    uint64_t pages = (m->end - m->start) >> PAGE_BITS;
    if (x || pages > MAX_PAGES)
        return x;
    struct eh_index *fresh = arena_alloc(&agent.arena, sizeof *x + (pages + 1) * sizeof x->row[0]);
    if (!fresh)
        return NULL;
    fresh->pages = (uint32_t)pages;
    return atomic_compare_exchange_strong(&m->index, &x, fresh) ? fresh : x;
}

static uint32_t row_at(const struct module *m, struct eh_index *x, uint64_t page) {
    uint32_t row = atomic_load_explicit(&x->row[page], memory_order_relaxed);
    if (row)
        return row - 1;
    int64_t key = (int64_t)(m->start + (page << PAGE_BITS) - m->eh_hdr);
    if (key > INT32_MAX)
        return m->eh_rows - 1;
    row = key < INT32_MIN ? 0 : search(m, 0, m->eh_rows, (int32_t)key);
    atomic_store_explicit(&x->row[page], row + 1, memory_order_relaxed);
    return row;
}

uint64_t eh_index_find(struct module *m, uint64_t pc) {
    int64_t key = (int64_t)(pc - m->eh_hdr);
    if (key != (int32_t)key || m->eh_rows == 0)
        return 0;
    uint32_t from = 0, n = m->eh_rows;
    struct eh_index *x = index_of(m);
    uint64_t page = (pc - m->start) >> PAGE_BITS;
    if (x && pc >= m->start && page < x->pages) {
        from = row_at(m, x, page);
        uint32_t to = row_at(m, x, page + 1);
        n = to > from ? to - from + 1 : 1; /* less only where the file changes under us */
    }
    const struct hdr_row *row = &rows(m)[search(m, from, n, (int32_t)key)];
    return row->start <= key ? m->eh_hdr + (uint64_t)(int64_t)row->record : 0;
}
