#include "agent/registered.h"

#include <stdatomic.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/rules.h"
#include "common/sys.h"

enum { SMALLEST = 9, CLASSES = 20, CHUNK = 64 << 10, LISTS = 3, STEP_BACK = 8 };
enum { BYTES_MAX = 64 << 20 };

/* Tables and records of one registration, in memory that keeps its size for ever. */
struct registered {
    unsigned size_class;
    uint32_t cap;        /* of data */
    atomic_uint version; /* odd: in use */
    struct registration how;
    uint64_t lo, hi;  /* code covered */
    uint64_t base;    /* of the rows */
    uint64_t address; /* where the host had the records */
    uint32_t n_rows, n_bytes;
    struct registered *next_free;
    _Alignas(8) uint8_t data[]; /* rows, then records */
};

struct place {
    uint64_t lo, hi;
    struct registered *block;
    uint32_t version;
};

struct list {
    uint32_t n, cap;
    struct place at[]; /* by lo */
};

static struct {
    atomic_uint lock;
    struct list *_Atomic current;
    struct list *lists[LISTS]; /* recycled in turn */
    unsigned turn;
    struct registered *free_first[CLASSES], *free_last[CLASSES]; /* the longest free first */
    uint8_t *chunk;
    size_t chunk_left;
} known;

static void lock(void) {
    while (atomic_exchange_explicit(&known.lock, 1, memory_order_acquire))
        sys_yield();
}

static void unlock(void) { atomic_store_explicit(&known.lock, 0, memory_order_release); }

/* Reading ----------------------------------------------------------------------------------------
 */

bool registered_holds(const struct registered_place *p) {
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load(&p->block->version) == p->version;
}

bool registered_find(uint64_t pc, struct registered_place *ret) {
    const struct list *l = atomic_load_explicit(&known.current, memory_order_acquire);
    if (!l)
        return false;
    uint32_t lo = 0, hi = l->n < l->cap ? l->n : l->cap;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (l->at[mid].lo <= pc)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (uint32_t i = lo; i > 0 && lo - i < STEP_BACK; i--) {
        struct place p = l->at[i - 1];
        if (pc < p.lo || pc >= p.hi)
            continue;
        *ret = (struct registered_place){p.block, p.version};
        if (registered_holds(ret) && pc >= p.block->lo && pc < p.block->hi)
            return true;
    }
    return false;
}

static struct cfi_table table_of(const struct registered *b) {
    uint32_t n = b->n_rows, most = b->cap / sizeof(struct cfi_table_row);
    return (struct cfi_table){
        .base = b->base, .n = n < most ? n : most, .rows = (struct cfi_table_row *)b->data};
}

static struct cfi_bytes bytes_of(const struct registered *b) {
    size_t behind = table_of(b).n * sizeof(struct cfi_table_row), n = b->n_bytes;
    return (struct cfi_bytes){b->data + behind, n < b->cap - behind ? n : b->cap - behind,
                              b->address};
}

uint32_t registered_rule(const struct registered_place *p, uint64_t pc) {
    struct cfi_table t = table_of(p->block);
    return cfi_table_find(&t, pc);
}

bool registered_entry(const struct registered_place *p, uint64_t pc, struct cfi_entry *ret) {
    struct cfi_bytes bytes = bytes_of(p->block);
    size_t at = 0, next;
    for (int kind; (kind = cfi_entry_parse(bytes, at, ret, &next)) >= 0; at = next)
        if (kind > 0 && pc >= ret->start && pc < ret->end)
            return registered_holds(p);
    return false;
}

/* Memory -----------------------------------------------------------------------------------------
 */

static unsigned class_of(size_t n) {
    unsigned c = 0;
    while (c < CLASSES && ((size_t)1 << (SMALLEST + c)) < n)
        c++;
    return c;
}

static void *map(size_t n) {
    bool room = !agent.arena.limit ||
                arena_mapped(&agent.arena) + atomic_load(&agent.modules.table_bytes) + n <=
                    agent.arena.limit;
    void *p = room ? sys_map(n) : NULL;
    if (p)
        atomic_fetch_add(&agent.modules.table_bytes, n);
    return p;
}

static void *carve(size_t n) {
    if (n > CHUNK)
        return map(n);
    if (known.chunk_left < n) {
        known.chunk = map(CHUNK);
        known.chunk_left = known.chunk ? CHUNK : 0;
    }
    if (known.chunk_left < n)
        return NULL;
    known.chunk_left -= n;
    return known.chunk + known.chunk_left;
}

static struct registered *block_take(size_t data) {
    unsigned c = class_of(sizeof(struct registered) + data);
    if (c == CLASSES)
        return NULL;
    struct registered *b = known.free_first[c];
    if (b) {
        known.free_first[c] = b->next_free;
        return b;
    }
    b = carve((size_t)1 << (SMALLEST + c));
    if (b) {
        b->size_class = c;
        b->cap = (1u << (SMALLEST + c)) - (uint32_t)sizeof *b;
    }
    return b;
}

static void block_give(struct registered *b) {
    unsigned c = b->size_class;
    b->next_free = NULL;
    if (known.free_first[c])
        known.free_last[c]->next_free = b;
    else
        known.free_first[c] = b;
    known.free_last[c] = b;
}

/* Room for n places in each list, so that an end, which only leaves one out, needs no memory. */
static bool lists_hold(uint32_t n) {
    for (unsigned i = 0; i < LISTS; i++) {
        struct list *l = known.lists[i];
        if (l && l->cap >= n)
            continue;
        uint32_t cap = 64;
        while (cap < n)
            cap *= 2;
        l = carve(sizeof *l + cap * sizeof l->at[0]);
        if (!l)
            return false;
        l->cap = cap;
        known.lists[i] = l;
    }
    return true;
}

/* Changing: the list as a whole, with one block more or without those marked
 * ----------------------- */

static bool publish(struct registered *more, const struct registered *without) {
    const struct list *old = atomic_load(&known.current);
    if (more && !lists_hold((old ? old->n : 0) + 1))
        return false;
    struct list *l = known.lists[known.turn];
    uint32_t n = 0;
    for (uint32_t i = 0; old && i < old->n; i++) {
        if (more && more->lo < old->at[i].lo) {
            l->at[n++] = (struct place){more->lo, more->hi, more, atomic_load(&more->version)};
            more = NULL;
        }
        if (old->at[i].block != without)
            l->at[n++] = old->at[i];
    }
    if (more)
        l->at[n++] = (struct place){more->lo, more->hi, more, atomic_load(&more->version)};
    l->n = n;
    atomic_store_explicit(&known.current, l, memory_order_release);
    known.turn = (known.turn + 1) % LISTS;
    return true;
}

static size_t peek(void *arg, uint64_t address, void *to, size_t n) {
    ssize_t got = sys_peek((const void *)address, to, n);
    return got > 0 ? (size_t)got : 0;
}

/* From the first record to the zero behind the last. */
static size_t extent(uint64_t begin) {
    uint8_t buf[1024];
    uint64_t at = begin, from = 0;
    size_t got = 0;
    for (uint32_t n; at - begin < BYTES_MAX; at += 4 + (uint64_t)n) {
        if (at < from || at + 4 > from + got) {
            from = at;
            got = peek(NULL, at, buf, sizeof buf);
        }
        if (at + 4 > from + got)
            break;
        memcpy(&n, buf + (at - from), sizeof n);
        if (n == 0 || n >= BYTES_MAX)
            break;
    }
    return at - begin;
}

/* The host's records, in memory of ours: bytes.n == 0 if there are none. */
static struct cfi_bytes copy_records(const struct registration *r, size_t *ret_mapped) {
    enum { RECORDS = 4096 };
    uint32_t head[2] = {0, 0};
    uint64_t begin = r->begin;
    size_t at;
    peek(NULL, begin, head, sizeof head);
    bool function_first = head[0] && head[1];
    if (function_first && !r->single)
        begin = head[1] < BYTES_MAX ? begin + 4 - head[1] : begin;
    bool one = function_first && r->single;
    *ret_mapped = one ? RECORDS : extent(begin);
    uint8_t *buf = *ret_mapped ? sys_map(*ret_mapped) : NULL;
    if (!buf)
        return (struct cfi_bytes){0};
    if (one) {
        struct cfi_bytes b = cfi_entry_gather(begin, buf, RECORDS, peek, NULL, &at);
        return (struct cfi_bytes){buf, b.n, b.address};
    }
    return (struct cfi_bytes){buf, peek(NULL, begin, buf, *ret_mapped), begin};
}

static void span_of(struct registered *b, const struct cfi_table *t) {
    b->base = t->base;
    b->n_rows = t->n;
    b->lo = b->hi = 0;
    if (t->n) {
        b->lo = t->base;
        b->hi = t->base + t->rows[t->n - 1].pc;
    }
}

static struct registered *block_make(const struct registration *r, struct cfi_bytes bytes) {
    struct cfi_table t = {0};
    cfi_build(bytes.at, bytes.n, bytes.address, &t, sys_map, sys_unmap);
    size_t rows = t.n * sizeof *t.rows;
    struct registered *b = block_take(rows + bytes.n);
    if (b) {
        b->how = *r;
        span_of(b, &t);
        b->address = bytes.address;
        b->n_bytes = (uint32_t)bytes.n;
        memcpy(b->data, t.rows, rows);
        memcpy(b->data + rows, bytes.at, bytes.n);
        atomic_fetch_add(&b->version, 1);
    }
    if (t.rows)
        sys_unmap(t.rows, t.mapped);
    return b;
}

static struct registered *find_key(uint64_t key, uint64_t begin) {
    const struct list *l = atomic_load(&known.current);
    for (uint32_t i = 0; l && i < l->n; i++) {
        struct registered *b = l->at[i].block;
        if (b->how.key == key && (!begin || b->how.begin == begin))
            return b;
    }
    return NULL;
}

static void drop(struct registered *b) {
    publish(NULL, b);
    atomic_fetch_add(&b->version, 1);
    rules_forget(b->lo, b->hi);
    block_give(b);
}

/* libgcc's functions call each other by their public names: the same comes twice and thrice. */
static bool is_known(const struct registration *r, struct cfi_bytes bytes) {
    struct registered *b = find_key(r->key, r->begin);
    if (!b)
        return false;
    struct cfi_bytes have = bytes_of(b);
    if (have.n == bytes.n && memcmp(have.at, bytes.at, have.n) == 0)
        return true;
    drop(b);
    return false;
}

bool registered_add(const struct registration *r) {
    size_t mapped;
    struct cfi_bytes bytes = copy_records(r, &mapped);
    lock();
    bool ok = bytes.n && is_known(r, bytes);
    struct registered *b = ok || !bytes.n ? NULL : block_make(r, bytes);
    if (b) {
        ok = publish(b, NULL);
        rules_forget(b->lo, b->hi);
        if (!ok) {
            atomic_fetch_add(&b->version, 1);
            block_give(b);
        }
    }
    unlock();
    if (bytes.at)
        sys_unmap((void *)bytes.at, mapped);
    return ok;
}

bool registered_remove(uint64_t key, struct registration *ret) {
    bool any = false;
    lock();
    for (struct registered *b; (b = find_key(key, 0)); any = true) {
        *ret = b->how;
        drop(b);
    }
    unlock();
    return any;
}

/* Another thread was in the midst of a change: free memory may be half on its list, and the list to
 * fill next may be the one that is read. */
void registered_reset(void) {
    if (!atomic_exchange(&known.lock, 0))
        return;
    memset(known.free_first, 0, sizeof known.free_first);
    memset(known.free_last, 0, sizeof known.free_last);
    known.chunk_left = 0;
    if (known.lists[known.turn] == atomic_load(&known.current))
        known.turn = (known.turn + 1) % LISTS;
}
