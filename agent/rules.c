/*
 * ANYWHERE. Why no tables for modules there at load: a rule straight from its record (eh_index.h,
 * cfi_quick.h) takes 25 to 45 ns more than a search in rows (docs/unwinding.md), but happens once
 * for an address, and saves 8 MB and 100 ms for a library like libLLVM.
 */
#include "agent/rules.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/cfi_quick.h"
#include "agent/eh_index.h"
#include "agent/registered.h"
#include "common/sys.h"

enum { LOOK_AROUND = 512, RECORDS = 4096, BUILD_AT_ONCE = 64 << 10, BUILD_MAX = 256 << 20 };

struct rules rules;

/* The entries' own generation closes the gap in which a walk that began before stores one more. */
void rules_begin(struct walk *w) {
    if (atomic_fetch_add_explicit(&rules.walks, 1, memory_order_relaxed) % LOOK_AROUND ==
        LOOK_AROUND - 1)
        modules_refresh_now_and_then();
    unsigned now = atomic_load_explicit(&agent.modules.generation, memory_order_acquire);
    w->generation = now & RULES_GENERATION;
    if (atomic_load_explicit(&rules.generation, memory_order_relaxed) == now ||
        atomic_exchange(&rules.generation, now) == now)
        return;
    for (unsigned i = 0; i < RULES; i++)
        atomic_store_explicit(&rules.at[i], 0, memory_order_relaxed);
}

/* Finding a record ----------------------------------------------------------------------------- */

static bool search_by_windows(struct walk *w, const struct module *m, int32_t key,
                              int32_t *ret_start, int32_t *ret_record) {
    uint64_t at = m->eh_hdr + 12, word;
    for (uint32_t n = m->eh_rows; n > 1;) {
        uint32_t half = n / 2;
        if (!walk_load(w, at + 8 * (uint64_t)half, &word))
            return false;
        at += (int32_t)word <= key ? 8 * (uint64_t)half : 0;
        n -= half;
    }
    bool ok = walk_load(w, at, &word);
    *ret_start = (int32_t)word;
    *ret_record = (int32_t)(word >> 32);
    return ok;
}

/* Where the record of the last function that begins at or before pc lies; 0: none. */
static uint64_t find_record(struct walk *w, const struct module *m, uint64_t pc) {
    int32_t start, record;
    int64_t key = (int64_t)(pc - m->eh_hdr);
    if (m->pinned)
        return eh_index_find((struct module *)m, pc);
    if (key != (int32_t)key || m->eh_rows == 0 ||
        !search_by_windows(w, m, (int32_t)key, &start, &record))
        return 0;
    return start <= key ? m->eh_hdr + (uint64_t)(int64_t)record : 0;
}

static size_t peek(void *arg, uint64_t address, void *to, size_t n) {
    ssize_t got = sys_peek((const void *)address, to, n);
    return got > 0 ? (size_t)got : 0;
}

/* Parsed where it is, or from copies in buf. */
static bool open_record(struct walk *w, const struct module *m, uint64_t pc, struct cfi_entry *e,
                        uint8_t *buf, size_t cap) {
    uint64_t record = m->eh_hdr ? find_record(w, m, pc) : 0;
    size_t at, next;
    if (!record)
        return false;
    struct cfi_bytes bytes = {(const uint8_t *)m->eh_lo, m->eh_hi - m->eh_lo, m->eh_lo};
    if (m->pinned && record >= m->eh_lo && record < m->eh_hi)
        at = record - m->eh_lo;
    else
        bytes = cfi_entry_gather(record, buf, cap, peek, NULL, &at);
    return bytes.n && cfi_entry_parse(bytes, at, e, &next) > 0 && pc >= e->start && pc < e->end;
}

bool rules_row(struct walk *w, uint64_t pc, struct cfi_entry *ret_entry, struct cfi_row *ret_row,
               uint8_t *buf, size_t cap) {
    const struct module_range *r = module_range_find(pc);
    struct registered_place p;
    if (!(r && r->module && r->module->eh_lo) && registered_find(pc, &p))
        return registered_entry(&p, pc, ret_entry) && cfi_entry_row(ret_entry, pc, ret_row);
    return r && r->module && open_record(w, r->module, pc, ret_entry, buf, cap) &&
           cfi_entry_row(ret_entry, pc, ret_row);
}

enum { TRAMPOLINE = 9 };

/* mov $15, %rax; syscall: the kernel and gdb know it by these bytes too. */
bool rules_is_trampoline(uint64_t pc) {
    static const uint8_t want[TRAMPOLINE] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
    uint8_t have[sizeof want];
    return sys_peek((const void *)pc, have, sizeof have) == sizeof have &&
           memcmp(have, want, sizeof want) == 0;
}

/* A "return address" at a function's first byte is a trampoline's (nothing calls those), or that
 * behind a call which never returns. */
static uint32_t unless_trampoline(uint64_t pc, uint32_t rule) {
    return rules_is_trampoline(pc + 1) ? cfi_rule(CFI_TRAMPOLINE, 0, 0) : rule;
}

/* No record covers pc. If one begins right behind it, nothing called from here: makecontext put the
 * function's address there by hand, and the coroutine ends with it. */
static uint32_t in_gap(uint64_t pc, bool function_follows) {
    return unless_trampoline(pc, cfi_rule(function_follows ? CFI_ROOT : CFI_BY_FRAME, 0, 0));
}

static uint32_t interpret(struct walk *w, const struct module *m, uint64_t pc) {
    uint8_t buf[RECORDS];
    struct cfi_entry e;
    struct cfi_row row;
    if (!open_record(w, m, pc, &e, buf, sizeof buf))
        return in_gap(pc, open_record(w, m, pc + 1, &e, buf, sizeof buf));
    uint32_t rule =
        cfi_entry_row(&e, pc, &row) ? cfi_pack(&e, &row, pc) : cfi_rule(CFI_BY_FRAME, 0, 0);
    return pc + 1 == e.end && cfi_kind(rule) != CFI_TRAMPOLINE ? unless_trampoline(pc, rule) : rule;
}

/* At a function's last byte. No system call (1.3 us) where a trampoline does not fit in front of
 * the next function; if that begins at once, it may be the trampoline. */
static uint32_t at_last_byte(const struct module *m, uint64_t pc, uint32_t rule) {
    uint64_t space = eh_index_next(m, pc) - (pc + 1);
    return space == 0 || space >= TRAMPOLINE ? unless_trampoline(pc, rule) : rule;
}

static uint32_t in_place(struct walk *w, struct module *m, uint64_t pc) {
    const struct cfi_bytes bytes = {(const uint8_t *)m->eh_lo, m->eh_hi - m->eh_lo, m->eh_lo};
    uint64_t record = eh_index_find(m, pc);
    uint32_t rule = record < m->eh_lo ? 0 : cfi_quick(&bytes, record - m->eh_lo, &m->usual, pc);
    if (rule == 0)
        return interpret(w, m, pc);
    return rule & CFI_QUICK_LAST ? at_last_byte(m, pc, rule & ~CFI_QUICK_LAST) : rule;
}

/* Tables ----------------------------------------------------------------------------------------
 */

static void table_build(struct module *m) {
    uint64_t n = m->eh_hi - m->eh_frame;
    uint8_t *copy = m->eh_frame && n <= BUILD_MAX ? sys_map(n) : NULL;
    struct cfi_table *t = copy ? arena_alloc(&agent.arena, sizeof *t) : NULL;
    size_t got = t ? peek(NULL, m->eh_frame, copy, n) : 0;
    if (got && cfi_build(copy, got, m->eh_frame, t, sys_map, sys_unmap) == 0) {
        size_t used = (t->n * sizeof *t->rows + 4095) & ~(size_t)4095;
        sys_unmap((char *)t->rows + used, ((t->mapped + 4095) & ~(size_t)4095) - used);
        t->mapped = used;
        sys_hide_from_child(t->rows, used);
        atomic_fetch_add(&agent.modules.table_bytes, used);
        atomic_store_explicit(&m->table, t, memory_order_release);
    }
    if (copy)
        sys_unmap(copy, n);
}

bool rules_build_wanted(void) {
    bool any = false;
    for (struct module *m = atomic_load(&agent.modules.newest); m; m = m->older) {
        enum module_table wanted = TABLE_WANTED;
        if (!atomic_compare_exchange_strong(&m->table_state, &wanted, TABLE_DONE))
            continue;
        any = true;
        if (!agent.arena.limit ||
            arena_mapped(&agent.arena) + atomic_load(&agent.modules.table_bytes) <
                agent.arena.limit)
            table_build(m);
    }
    return any;
}

/* The agent's thread does it, or, in a host without one, this handler if it takes less than half a
 * millisecond. */
static void want_table(struct module *m) {
    enum module_table none = TABLE_NONE;
    if (!m->eh_frame || !atomic_compare_exchange_strong(&m->table_state, &none, TABLE_WANTED))
        return;
    if (worker_running())
        worker_wake();
    else if (m->eh_hi - m->eh_frame <= BUILD_AT_ONCE)
        rules_build_wanted();
}

static uint32_t rule_in(struct walk *w, struct module *m, uint64_t pc) {
    if (m->pinned && m->eh_hdr)
        return in_place(w, m, pc);
    want_table(m);
    const struct cfi_table *t = atomic_load_explicit(&m->table, memory_order_acquire);
    if (!t)
        return interpret(w, m, pc);
    uint32_t rule = cfi_table_find(t, pc);
    return cfi_kind(rule) != CFI_BY_FRAME
               ? rule
               : in_gap(pc, cfi_kind(cfi_table_find(t, pc + 1)) != CFI_BY_FRAME);
}

/* The address that an entry at this place in the cache belongs to. */
static uint64_t address_of(unsigned place, uint64_t entry) {
    uint64_t upper = entry >> 32;
    return upper << RULES_BITS | ((place ^ upper) % RULES);
}

static void forget(unsigned place, uint64_t lo, uint64_t hi) {
    uint64_t e = atomic_load_explicit(&rules.at[place], memory_order_relaxed);
    uint64_t pc = address_of(place, e);
    if (e && pc >= lo && pc < hi)
        atomic_compare_exchange_strong(&rules.at[place], &e, 0);
}

void rules_forget(uint64_t lo, uint64_t hi) {
    if (hi - lo < RULES)
        for (uint64_t pc = lo; pc < hi; pc++)
            forget((unsigned)(rules_slot(pc) - rules.at), pc, pc + 1);
    else
        for (unsigned i = 0; i < RULES; i++)
            forget(i, lo, hi);
}

static void keep(const struct walk *w, uint64_t pc, uint32_t rule) {
    if (pc >> (32 + RULES_BITS) == 0)
        atomic_store_explicit(rules_slot(pc), pc >> RULES_BITS << 32 | rule << 4 | w->generation,
                              memory_order_relaxed);
}

/* Of code that was registered. Its end forgets what is in the cache, so either it sees our entry or
 * we see the end. */
static uint32_t rule_registered(const struct walk *w, const struct registered_place *p,
                                uint64_t pc) {
    const uint32_t gap = cfi_rule(CFI_BY_FRAME, 0, 0);
    uint32_t rule = registered_rule(p, pc);
    rule = rule == gap ? unless_trampoline(pc, rule) : rule;
    keep(w, pc, rule);
    if (registered_holds(p))
        return rule;
    rules_forget(pc, pc + 1);
    return gap;
}

uint32_t rules_find_slow(struct walk *w, uint64_t pc) {
    const struct module_range *r = module_range_find(pc);
    struct registered_place p;
    if (!(r && r->module && r->module->eh_lo) && registered_find(pc, &p))
        return rule_registered(w, &p, pc);
    r = r ? r : walk_is_code(pc) ? module_range_find(pc) : NULL;
    if (!r)
        return cfi_rule(CFI_NOTHING, 0, 0);
    struct module *m = (struct module *)r->module;
    uint32_t rule =
        m && m->eh_lo ? rule_in(w, m, pc) : unless_trampoline(pc, cfi_rule(CFI_BY_FRAME, 0, 0));
    keep(w, pc, rule);
    return rule;
}
