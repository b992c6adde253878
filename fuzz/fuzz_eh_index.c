/* Any bytes as the search table of .eh_frame_hdr, which a file that is written to may change under
 * us: a row of the table is the answer, and the right one if the table is sorted and stays. */
#include "agent/eh_index.h"

#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 12, PAGE = 4096, PAGES = 7, STEP = 509, MAX_ROWS = 512 };

struct agent agent;

struct hdr_row {
    int32_t start, record;
};

static void require(bool so) {
    if (!so)
        abort();
}

static bool sorted(const struct hdr_row *r, uint32_t n) {
    for (uint32_t i = 1; i < n; i++)
        if (r[i - 1].start > r[i].start)
            return false;
    return true;
}

/* The last row that begins at or before the place, one after the other. */
static uint64_t slowly(const struct module *m, const struct hdr_row *r, int64_t key) {
    uint64_t found = 0;
    for (uint32_t i = 0; i < m->eh_rows && r[i].start <= key; i++)
        found = m->eh_hdr + (uint64_t)(int64_t)r[i].record;
    return found;
}

static void ask(struct module *m, const struct hdr_row *r, uint64_t from, uint64_t to,
                bool is_sorted) {
    for (uint64_t pc = from; pc < to; pc += STEP) {
        uint64_t got = eh_index_find(m, pc);
        if (is_sorted)
            require(got == slowly(m, r, (int64_t)(pc - m->eh_hdr)));
    }
}

/* The second half of the input replaces the first while the index remembers rows of some pages. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct module m;
    uint32_t n = (uint32_t)(size / 2 / sizeof(struct hdr_row));
    n = n < MAX_ROWS ? n : MAX_ROWS;
    uint8_t *hdr = calloc(1, HEAD + n * sizeof(struct hdr_row));
    if (!hdr || n == 0) {
        free(hdr);
        return 0;
    }
    struct hdr_row *r = (struct hdr_row *)(hdr + HEAD);
    m.eh_hdr = (uintptr_t)hdr, m.eh_rows = n;
    m.start = m.eh_hdr + 2 * PAGE, m.end = m.start + PAGES * PAGE;
    struct eh_index *x = atomic_load(&m.index);
    for (uint32_t i = 0; x && i < x->pages; i++)
        atomic_store(&x->page[i].row, 0);
    memcpy(r, data, n * sizeof *r);
    ask(&m, r, m.start + 4 * PAGE, m.start + 5 * PAGE, sorted(r, n));
    if (data[0] & 1)
        ask(&m, r, m.start - STEP, m.start + 2 * PAGE, sorted(r, n));
    memcpy(r, data + n * sizeof *r, n * sizeof *r);
    ask(&m, r, m.start - STEP, m.end + PAGE, false);
    free(hdr);
    return 0;
}
