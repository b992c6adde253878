/*
 * ANYWHERE, except start, stop and reset. Memory by stack: three kinds over one engine
 * (agent/heap.c). heap and allocs hold the same rows and differ in what a reader shows first;
 * heappeak holds the rows as they were when the most memory was in use.
 *
 * Rows are sums since the process began, so two files can be subtracted (pprof -diff_base).
 */
#include "agent/kind.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/filter.h"
#include "agent/freeze.h"
#include "agent/gap.h"
#include "agent/heap.h"
#include "agent/self.h"
#include "common/clock.h"
#include "common/hash.h"
#include "common/pool.h"
#include "common/sys.h"

/* Code of allocators and what the C++ and Rust libraries put on top: who called it is what counts.
 * pprof matches whole names, without parameters. */
static const char drop_frames[] =
    "operator new|operator new\\[\\]|_Zn[aw].*"
    "|malloc|calloc|realloc|reallocarray|posix_memalign|aligned_alloc|memalign|valloc|pvalloc"
    "|__gnu_cxx::new_allocator<.*>::allocate|std::(__new_)?allocator<.*>::allocate"
    "|std::allocator_traits<.*>::allocate|std::_Vector_base<.*>::_M_allocate"
    "|__rust_alloc.*|__rust_realloc|__rdl_.*|__rg_.*|alloc::alloc::.*";

enum { AGES = 6 };

/* Each bucket ends where the next begins. */
static const struct {
    uint32_t below_s;
    const char *label;
} ages[AGES] = {{1, "below 1s"},    {10, "1s to 10s"},   {60, "10s to 1m"},
                {600, "1m to 10m"}, {3600, "10m to 1h"}, {UINT32_MAX, "1h and above"}};

static struct {
    uint64_t rate;                /* asked for, the finer of two */
    uint64_t written[KIND_COUNT]; /* samples at the last file */
} kind_heap_state;

static void say_not_owned(const char *kind, bool asked) {
    struct log_line l;
    log_begin(&l, asked ? LOG_WARN : LOG_INFO, kind);
    text_str(&l.text, "malloc is not ours to see: the program uses that of ");
    text_str(&l.text, agent.provider.path ? agent.provider.path : "another object in front of us");
    text_str(&l.text,
             "; if that is a library, name libcprof.so before it in LD_PRELOAD; this profile "
             "is off");
    log_end(&l);
}

/* Once, and only to somebody who asked. */
static void say_what_is_seen(void) {
    struct log_line l;
    log_begin(&l, LOG_INFO, "heap");
    text_str(&l.text, "malloc is that of ");
    text_str(&l.text, agent.provider.path ? agent.provider.path : "an unknown object");
    if (agent.provider.operators)
        text_str(&l.text, ", and so are operator new and delete");
    if (agent.provider.unseen) {
        text_str(&l.text, "; not seen: ");
        text_str(&l.text, agent.provider.unseen);
        text_str(&l.text, " of ");
        text_str(&l.text, agent.provider.unseen_path);
    }
    log_end(&l);
}

static int start(enum kind_id id, uint64_t rate) {
    struct provider *p = &agent.provider;
    if (!p->owned) {
        say_not_owned(kind_infos[id].name, agent.options.kinds[id].asked);
        return KIND_STANDS_DOWN;
    }
    bool first = !kind_heap_state.rate;
    if (first)
        say_what_is_seen();
    if (!first && kind_heap_state.rate <= rate)
        return 0;
    kind_heap_state.rate = rate;
    return heap_set_rate(rate);
}

static int start_heap(uint64_t rate) { return start(KIND_heap, rate); }

static int start_allocs(uint64_t rate) { return start(KIND_allocs, rate); }

static int start_heappeak(uint64_t rate) {
    heap.peak.on = true;
    return start(KIND_heappeak, rate);
}

static void stop(void) { heap_set_rate(0); }

/* Once for each kind that is on: the second finds nothing to do. */
static void reset(void) {
    heap_reset();
    memset(kind_heap_state.written, 0, sizeof kind_heap_state.written);
}

static bool has_samples(enum kind_id id) {
    return atomic_load(&heap.samples) > kind_heap_state.written[id];
}

static bool heap_has_samples(void) { return has_samples(KIND_heap); }

static bool allocs_has_samples(void) { return has_samples(KIND_allocs); }

static bool heappeak_has_samples(void) { return has_samples(KIND_heappeak); }

/* Comments. */

static void comment_provider(struct freeze *f) {
    const struct provider *p = &agent.provider;
    char buf[1200];
    struct text t = TEXT_ON(buf);
    text_str(&t, "#heap_provider=");
    text_str(&t, p->path ? p->path : "unknown");
    text_str(&t, p->operators ? ", operator new included" : "");
    snapshot_comment(&f->snapshot, buf);
    if (!p->unseen)
        return;
    t = (struct text)TEXT_ON(buf);
    text_str(&t, "not in this profile: memory from ");
    text_str(&t, p->unseen);
    text_str(&t, " of ");
    text_str(&t, p->unseen_path);
    snapshot_comment(&f->snapshot, buf);
}

static void comment_rate(struct freeze *f) {
    unsigned rate = atomic_load(&heap.rate), most = atomic_load(&heap.window.doublings_most);
    char buf[200];
    struct text t = TEXT_ON(buf);
    snapshot_comment_count(&f->snapshot, "heap_rate", kind_heap_state.rate);
    if (!most)
        return;
    snapshot_comment_count(&f->snapshot, "heap_rate_now", rate ? heap_rate_bytes(rate) : 0);
    text_str(&t, "rate adapted to many large allocations: at times one sample in ");
    text_u64(&t, kind_heap_state.rate << most);
    text_str(&t, " bytes; the numbers stay unbiased and are coarser");
    snapshot_comment(&f->snapshot, buf);
}

/* "RSS is bigger than the profile" explains itself. The allocator is only asked on the agent's
 * thread: elsewhere this may be a handler that interrupted it. */
static void comment_totals(struct freeze *f) {
    int64_t live = atomic_load(&heap.live_bytes);
    uint64_t own = 0;
    bool may_ask = sys_gettid() == agent.worker.tid && agent.provider.allocated;
    snapshot_comment_count(&f->snapshot, "heap_live_bytes", live > 0 ? (uint64_t)live : 0);
    if (may_ask && agent.provider.allocated(&own))
        snapshot_comment_count(&f->snapshot, "heap_allocator_bytes", own);
}

static void comments(struct freeze *f) {
    uint64_t missed = atomic_load(&heap.missed_frees), n = atomic_load(&heap.live.n);
    comment_provider(f);
    comment_rate(f);
    comment_totals(f);
    snapshot_comment_count(&f->snapshot, "heap_samples", atomic_load(&heap.samples));
    snapshot_comment_count(&f->snapshot, "heap_live_samples", n);
    snapshot_comment_count(&f->snapshot, "heap_filter_slots", filter_slots());
    snapshot_comment_count(&f->snapshot, "heap_missed_frees", missed);
    snapshot_comment_count(&f->snapshot, "agent_pool_bytes", pool_mapped());
}

/* Rows. */

/* A number of zero is no label to a reader. */
static unsigned bytes_label(const struct row *r, struct snapshot_label *to) {
    *to = (struct snapshot_label){.key = "bytes", .num = (int64_t)r->tag, .unit = "bytes"};
    return r->stack && r->tag;
}

static void freeze_one(struct row *r, void *arg) {
    int64_t values[KIND_MAX_VALUES];
    struct snapshot_label label;
    for (unsigned i = 0; i < KIND_MAX_VALUES; i++)
        values[i] = row_scaled(r, i);
    unsigned n = bytes_label(r, &label);
    freeze_row_labelled(arg, r, values, &label, n);
}

/* What is in use of one row, by age. */
struct aged {
    const struct row *row;
    unsigned __int128 objects[AGES], space[AGES]; /* in units of 2^-32 */
};

struct aging {
    struct freeze *freeze;
    struct aged *slots; /* open addressing by row; a power of two of them, half empty */
    uint64_t n;
    uint64_t rows;
    uint32_t now_s;
};

static struct aged *aged_of(struct aging *a, const struct row *r) {
    uint64_t i = hash_mix((uintptr_t)r) & (a->n - 1);
    while (a->slots[i].row && a->slots[i].row != r)
        i = (i + 1) & (a->n - 1);
    if (!a->slots[i].row) {
        if (2 * a->rows >= a->n)
            return NULL;
        a->rows++;
        a->slots[i].row = r;
    }
    return &a->slots[i];
}

static void age_block(const struct live_block *b, void *arg) {
    struct aging *a = arg;
    struct aged *to = aged_of(a, (const struct row *)(uintptr_t)b->row);
    if (!to) { /* a row that is younger than the count of rows */
        a->freeze->no_memory |= a->n == 0;
        return;
    }
    unsigned __int128 weight = gap_weight(b->size, heap_rate_bytes(b->rate));
    uint32_t age_s = a->now_s > live_born(b) ? a->now_s - live_born(b) : 0;
    unsigned i = 0;
    while (i < AGES - 1 && age_s >= ages[i].below_s)
        i++;
    to->objects[i] += weight;
    to->space[i] += weight * b->size;
}

static int64_t rounded(unsigned __int128 q32) { return (int64_t)((q32 + (1u << 31)) >> 32); }

/* What was ever allocated has no age; what is in use stands in lines of its own. */
static void freeze_aged(struct row *r, void *arg) {
    struct aging *a = arg;
    struct snapshot_label labels[2];
    unsigned n = bytes_label(r, &labels[0]);
    int64_t values[KIND_MAX_VALUES] = {row_scaled(r, HEAP_ALLOC_OBJECTS),
                                       row_scaled(r, HEAP_ALLOC_SPACE)};
    freeze_row_labelled(a->freeze, r, values, labels, n);
    const struct aged *in_use = aged_of(a, r);
    for (unsigned i = 0; in_use && i < AGES; i++) {
        labels[n] = (struct snapshot_label){.key = "age", .str = ages[i].label};
        int64_t by_age[KIND_MAX_VALUES] = {0, 0, rounded(in_use->objects[i]),
                                           rounded(in_use->space[i])};
        freeze_row_labelled(a->freeze, r, by_age, labels, n + 1);
    }
}

static void snapshot_by_age(struct freeze *f) {
    struct aging a = {.freeze = f, .n = 64};
    a.now_s = (uint32_t)(clock_coarse_ns() / 1000000000u);
    while (a.n < 4 * (atomic_load(&heap.table.chains.n) + 64))
        a.n *= 2;
    a.slots = snapshot_alloc(&f->snapshot, a.n * sizeof *a.slots);
    if (!a.slots) {
        f->no_memory = true;
        return;
    }
    live_each(&heap.live, age_block, &a);
    table_each(&heap.table, freeze_aged, &a);
}

static void snapshot(struct freeze *f, enum kind_id id) {
    kind_heap_state.written[id] = atomic_load(&heap.samples);
    f->snapshot.period = (int64_t)kind_heap_state.rate;
    f->snapshot.drop_frames = drop_frames;
    f->snapshot.default_value = kind_infos[id].main_value;
    if (agent.options.kinds[id].by_age)
        snapshot_by_age(f);
    else
        table_each(&heap.table, freeze_one, f);
    comments(f);
}

static void snapshot_heap(struct freeze *f) { snapshot(f, KIND_heap); }

static void snapshot_allocs(struct freeze *f) { snapshot(f, KIND_allocs); }

static void freeze_peak(struct row *r, void *arg) {
    struct snapshot_label label;
    unsigned n = bytes_label(r, &label);
    freeze_row_labelled(arg, r, r->peak, &label, n);
}

static void freeze_now(struct row *r, void *arg) {
    const int64_t values[] = {row_scaled(r, HEAP_INUSE_OBJECTS), row_scaled(r, HEAP_INUSE_SPACE)};
    struct snapshot_label label;
    unsigned n = bytes_label(r, &label);
    freeze_row_labelled(arg, r, values, &label, n);
}

static void snapshot_heappeak(struct freeze *f) {
    int64_t live = atomic_load(&heap.live_bytes), peak = atomic_load(&heap.peak.bytes);
    kind_heap_state.written[KIND_heappeak] = atomic_load(&heap.samples);
    f->snapshot.period = (int64_t)kind_heap_state.rate;
    f->snapshot.drop_frames = drop_frames;
    table_each(&heap.table, live >= peak ? freeze_now : freeze_peak, f);
    snapshot_comment_count(&f->snapshot, "heap_peak_bytes", (uint64_t)(live >= peak ? live : peak));
    comments(f);
}

const struct kind kind_heap = {
    .start = start_heap,
    .stop = stop,
    .snapshot = snapshot_heap,
    .reset = reset,
    .has_samples = heap_has_samples,
};

const struct kind kind_allocs = {
    .start = start_allocs,
    .stop = stop,
    .snapshot = snapshot_allocs,
    .reset = reset,
    .has_samples = allocs_has_samples,
};

const struct kind kind_heappeak = {
    .start = start_heappeak,
    .stop = stop,
    .snapshot = snapshot_heappeak,
    .reset = reset,
    .has_samples = heappeak_has_samples,
};
