#include "agent/module.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/proc.h"
#include "common/sys.h"

enum { FIRST_RANGES = 64, MAX_PHDRS = 64, COST_SHARE = 200, BURST_NS = 400000000 };

/* One reading of the maps. */
struct reading {
    struct module_list *list;
    const struct module_list *before;
    bool overflow;
    bool changed;
    bool at_load;
    uint64_t image; /* where the file of the line before begins (its offset 0) */
    uint64_t image_inode, image_dev;
};

/* Only what is there and different tells: the page may not be readable at all. */
bool module_holds(const struct module *m) {
    uint8_t now[sizeof m->mark];
    return m->pinned || !m->mark_n ||
           sys_peek((const void *)m->mark_at, now, m->mark_n) != m->mark_n ||
           memcmp(now, m->mark, m->mark_n) == 0;
}

static bool same_place(const struct module *m, const struct proc_map *p) {
    return m->start == p->start && m->end == p->end && m->offset == p->offset &&
           m->inode == p->inode && m->dev == p->dev && strcmp(m->path, p->path) == 0 &&
           module_holds(m);
}

static bool is_pinned(uint64_t start) {
    const struct modules *ms = &agent.modules;
    for (uint32_t i = 0; i < ms->n_pinned; i++)
        if (ms->pinned[i] == start)
            return true;
    return false;
}

static void set_mark(struct module *m, uint64_t at, const void *bytes, size_t n) {
    m->mark_at = at;
    m->mark_n = (uint8_t)(n < sizeof m->mark ? n : sizeof m->mark);
    memcpy(m->mark, bytes, m->mark_n);
}

/* .note.gnu.build-id among the notes at [at, at + size). */
static void read_build_id(struct module *m, uint64_t at, uint64_t size) {
    char buf[512];
    size = size < sizeof buf ? size : sizeof buf;
    if (sys_peek((void *)at, buf, size) != (ssize_t)size)
        return;
    for (size_t i = 0; i + sizeof(Elf64_Nhdr) <= size;) {
        Elf64_Nhdr note;
        memcpy(&note, buf + i, sizeof note);
        size_t name = i + sizeof note, desc = name + ((note.n_namesz + 3u) & ~3u);
        i = desc + ((note.n_descsz + 3u) & ~3u);
        if (note.n_namesz > size || note.n_descsz > 32 || i > size)
            return;
        if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != 4 ||
            memcmp(buf + name, "GNU", 4) != 0)
            continue;
        set_mark(m, at + desc, buf + desc, note.n_descsz);
        struct text hex = TEXT_ON(m->build_id);
        for (uint32_t k = 0; k < note.n_descsz; k++) {
            unsigned char byte = (unsigned char)buf[desc + k];
            text_char(&hex, "0123456789abcdef"[byte >> 4]);
            text_char(&hex, "0123456789abcdef"[byte & 15]);
        }
        return;
    }
}

/* The only forms that linkers write: a pc-relative address of the records; then count udata4 and
 * entries sdata4 relative to the header, or no table. */
static void read_eh_hdr(struct module *m, uint64_t at, uint64_t lo, uint64_t hi) {
    unsigned char hdr[12];
    int32_t frame;
    if (at < lo || at + sizeof hdr > hi || sys_peek((void *)at, hdr, sizeof hdr) != sizeof hdr ||
        hdr[0] != 1 || hdr[1] != 0x1b)
        return;
    memcpy(&frame, hdr + 4, sizeof frame);
    uint64_t frame_at = at + 4 + (uint64_t)(int64_t)frame;
    m->eh_frame = frame_at >= lo && frame_at < hi ? frame_at : 0;
    m->eh_lo = lo;
    m->eh_hi = hi;
    if (hdr[2] != 0x03 || hdr[3] != 0x3b)
        return;
    memcpy(&m->eh_rows, hdr + 8, sizeof m->eh_rows);
    if (m->eh_rows <= (hi - at - sizeof hdr) / 8)
        m->eh_hdr = at;
}

/* The segment that holds the header bounds everything that is read through it. */
static void find_eh_hdr(struct module *m, uint64_t bias, const Elf64_Phdr *ph, unsigned n,
                        uint64_t at) {
    for (unsigned i = 0; i < n; i++) {
        uint64_t lo = bias + ph[i].p_vaddr;
        if (ph[i].p_type == PT_LOAD && at >= lo && at < lo + ph[i].p_filesz)
            read_eh_hdr(m, at, lo, lo + ph[i].p_filesz);
    }
}

static void add_data(struct module *m, uint64_t lo, uint64_t n) {
    if (!m->data_hi || lo < m->data_lo)
        m->data_lo = lo;
    if (lo + n > m->data_hi)
        m->data_hi = lo + n;
}

/* Program headers from the image in memory: the file may be gone, replaced, or not a file at all
 * (vdso). */
static void read_image(struct module *m, uint64_t image) {
    Elf64_Ehdr eh;
    Elf64_Phdr ph[MAX_PHDRS];
    if (sys_peek((void *)image, &eh, sizeof eh) != sizeof eh ||
        memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_phnum > MAX_PHDRS ||
        eh.e_phentsize != sizeof *ph)
        return;
    ssize_t size = (ssize_t)(eh.e_phnum * sizeof *ph);
    if (sys_peek((void *)(image + eh.e_phoff), ph, (size_t)size) != size)
        return;
    /* Entry, and where tables lie in the file: what differs most between libraries. */
    set_mark(m, image + offsetof(Elf64_Ehdr, e_entry), &eh.e_entry, sizeof m->mark);
    uint64_t bias = image;
    for (unsigned i = 0; i < eh.e_phnum; i++)
        if (ph[i].p_type == PT_LOAD && ph[i].p_offset == 0)
            bias = image - ph[i].p_vaddr;
    m->bias = bias;
    for (unsigned i = 0; i < eh.e_phnum; i++) {
        if (ph[i].p_type == PT_LOAD && ph[i].p_flags & PF_W)
            add_data(m, bias + ph[i].p_vaddr, ph[i].p_memsz);
        if (ph[i].p_type == PT_NOTE && !m->build_id[0])
            read_build_id(m, bias + ph[i].p_vaddr, ph[i].p_memsz);
        if (ph[i].p_type == PT_GNU_EH_FRAME)
            find_eh_hdr(m, bias, ph, eh.e_phnum, bias + ph[i].p_vaddr);
    }
}

static uint16_t tenant_of(const struct module *m) {
    unsigned tenant = 0;
    for (const struct module *o = atomic_load(&agent.modules.newest); o; o = o->older)
        if (o->start < m->end && m->start < o->end && o->tenant >= tenant)
            tenant = o->tenant + 1u;
    return (uint16_t)(tenant < FRAME_TENANTS ? tenant : FRAME_TENANTS);
}

static const struct module *module_new(const struct reading *r, const struct proc_map *p) {
    struct modules *ms = &agent.modules;
    size_t len = strlen(p->path);
    struct module *m = arena_alloc(&agent.arena, sizeof *m + len + 1);
    if (!m)
        return NULL;
    m->start = p->start;
    m->end = p->end;
    m->offset = p->offset;
    m->dev = p->dev;
    m->inode = p->inode;
    m->path = memcpy(m + 1, p->path, len + 1);
    m->pinned = is_pinned(p->start);
    if (p->offset == 0)
        read_image(m, p->start);
    else if (r->image && r->image_inode == p->inode && r->image_dev == p->dev)
        read_image(m, r->image);
    m->tenant = tenant_of(m);
    m->older = atomic_load_explicit(&ms->newest, memory_order_relaxed);
    atomic_store_explicit(&ms->newest, m, memory_order_release);
    return m;
}

static const struct module *module_get(const struct reading *r, const struct proc_map *p) {
    for (const struct module *m = atomic_load(&agent.modules.newest); m; m = m->older)
        if (same_place(m, p))
            return m;
    return module_new(r, p);
}

static void read_map(const struct proc_map *p, void *arg) {
    struct reading *r = arg;
    if (p->offset == 0 && p->path[0]) {
        r->image = p->start;
        r->image_inode = p->inode;
        r->image_dev = p->dev;
    }
    if (!p->exec || strcmp(p->path, "[vsyscall]") == 0)
        return;
    struct module_list *l = r->list;
    if (l->n == l->cap) {
        r->overflow = true;
        return;
    }
    bool file = p->path[0] == '/' || strcmp(p->path, "[vdso]") == 0;
    if (r->at_load && agent.modules.n_pinned < MODULE_PINNED)
        agent.modules.pinned[agent.modules.n_pinned++] = p->start;
    struct module_range range = {p->start, p->end, file ? module_get(r, p) : NULL};
    const struct module_list *b = r->before;
    if (!b || l->n >= b->n || memcmp(&b->at[l->n], &range, sizeof range) != 0)
        r->changed = true;
    l->at[l->n++] = range;
    if (!range.module || range.module->pinned)
        return;
    l->passing_lo = range.start < l->passing_lo ? range.start : l->passing_lo;
    l->passing_hi = range.end > l->passing_hi ? range.end : l->passing_hi;
}

/* A list to fill: the oldest of the three, made larger when the last reading overflowed. */
static struct module_list *list_take(struct modules *ms, uint32_t cap) {
    struct module_list **slot = &ms->lists[ms->turn];
    if (!*slot || (*slot)->cap < cap) {
        struct module_list *l = arena_alloc(&agent.arena, sizeof *l + cap * sizeof l->at[0]);
        if (!l)
            return NULL;
        l->cap = cap;
        *slot = l;
    }
    (*slot)->n = 0;
    (*slot)->passing_lo = UINT64_MAX;
    (*slot)->passing_hi = 0;
    return *slot;
}

/* One segment of a loaded object, as the maps file would show it. */
static void read_segment(const struct dl_phdr_info *info, const ElfW(Phdr) * ph,
                         struct reading *r) {
    enum { PAGE = 4096 };
    uint64_t start = info->dlpi_addr + ph->p_vaddr, end = start + ph->p_memsz,
             in_page = start % PAGE;
    struct proc_map m = {
        .start = start - in_page,
        .end = (end + PAGE - 1) & ~(uint64_t)(PAGE - 1),
        .offset = ph->p_offset - in_page,
        .exec = ph->p_flags & PF_X,
    };
    struct text path = TEXT_ON(m.path);
    bool vdso = strncmp(info->dlpi_name, "linux-vdso", 10) == 0;
    text_str(&path, vdso ? "[vdso]" : info->dlpi_name[0] ? info->dlpi_name : agent.exe_path);
    read_map(&m, r);
}

static int read_object(struct dl_phdr_info *info, size_t size, void *arg) {
    for (unsigned i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD)
            read_segment(info, &info->dlpi_phdr[i], arg);
    return 0;
}

/* A program that starts where there is no /proc (a chroot): the loader's own list, asked once and
 * only here, at load, where its lock is nobody's. */
static int read_maps(struct reading *r) {
    int err = proc_each_map(read_map, r);
    if (err < 0 && r->at_load)
        err = dl_iterate_phdr(read_object, r);
    return err;
}

static bool refresh(struct modules *ms, bool at_load) {
    const struct module_list *before = atomic_load_explicit(&ms->current, memory_order_acquire);
    for (uint32_t cap = before && before->cap > FIRST_RANGES ? before->cap : FIRST_RANGES;;
         cap *= 2) {
        struct module_list *l = list_take(ms, cap);
        if (!l)
            return false;
        struct reading r = {.list = l, .before = before, .at_load = at_load};
        if (read_maps(&r) != 0 || l->n == 0)
            return false;
        if (r.overflow) {
            ms->n_pinned = at_load ? 0 : ms->n_pinned;
            continue;
        }
        if (!r.changed && before->n == l->n)
            return true;
        atomic_store_explicit(&ms->current, l, memory_order_release);
        ms->turn = (ms->turn + 1) % MODULE_LISTS;
        atomic_fetch_add_explicit(&ms->generation, 1, memory_order_release);
        return true;
    }
}

/* Readings on behalf of handlers may take 1/200 of the time, 2 ms of CPU at once: a program that
 * has just loaded a library is sampled in it at once, one with garbage on its stacks pays 0.5 %.
 * CPU time, because a thread that waits for its turn meanwhile costs nobody anything. */
static void pay(struct modules *ms, uint64_t cost_ns) {
    uint64_t now = sys_clock_ns(CLOCK_MONOTONIC), next = atomic_load(&ms->next_ns);
    uint64_t from = next + BURST_NS > now ? next : now - BURST_NS;
    atomic_store(&ms->next_ns, from + cost_ns * COST_SHARE);
}

bool modules_refresh(bool at_load) {
    struct modules *ms = &agent.modules;
    if (atomic_exchange_explicit(&ms->busy, 1, memory_order_acquire))
        return false;
    uint64_t begin = sys_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    bool ok = refresh(ms, at_load);
    pay(ms, sys_clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin);
    atomic_store_explicit(&ms->busy, 0, memory_order_release);
    return ok;
}

bool modules_refresh_now_and_then(void) {
    return sys_clock_ns(CLOCK_MONOTONIC) >= atomic_load(&agent.modules.next_ns) &&
           modules_refresh(false);
}

bool modules_refresh_for(uint64_t executing) {
    uint64_t page = executing >> 12;
    return atomic_exchange(&agent.modules.strange, page) != page && modules_refresh(false);
}

const struct module_range *module_range_find(uint64_t pc) {
    const struct module_list *l =
        atomic_load_explicit(&agent.modules.current, memory_order_acquire);
    uint32_t lo = 0, hi = l ? l->n : 0;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (pc >= l->at[mid].end)
            lo = mid + 1;
        else
            hi = mid;
    }
    return l && lo < l->n && pc >= l->at[lo].start ? &l->at[lo] : NULL;
}

const struct module *module_find_ever(uint64_t frame) {
    uint64_t pc = frame_address(frame);
    unsigned tenant = frame_tenant(frame);
    const struct module_range *r = module_range_find(pc);
    if (r && (r->module ? r->module->tenant == tenant : !tenant))
        return r->module;
    for (const struct module *m = atomic_load(&agent.modules.newest); m; m = m->older)
        if (pc >= m->start && pc < m->end && m->tenant == tenant)
            return m;
    return NULL;
}

void modules_reset(void) {
    struct modules *ms = &agent.modules;
    atomic_store(&ms->current, NULL);
    memset(ms->lists, 0, sizeof ms->lists);
    atomic_store(&ms->newest, NULL);
    atomic_store(&ms->busy, 0);
    atomic_store(&ms->next_ns, 0);
    atomic_store(&ms->table_bytes, 0);
    atomic_fetch_add(&ms->generation, 1);
}
