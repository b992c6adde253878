/*
 * Adapting. A program that allocates only blocks larger than the rate would have each of them
 * sampled: a third of a microsecond on a path of sixteen nanoseconds, and three or four where
 * nothing of ours is in the caches. When 256 samples take less than 256 ms (1000 a second, 0.35 % of
 * one CPU at the worst), the rate is doubled for all threads, or more than once if they took much
 * less; a quieter time halves it again, down to what was asked for. Each sample keeps the rate its
 * gap was drawn with, so the estimates stay unbiased and only become coarser. Who asks for less
 * than 128 KiB wants detail and is not adapted.
 *
 * A storm may raise the rate to 64 GiB, and who allocates little afterwards would wait for days for
 * the sample that finds it too high. So a countdown is at most LOOK_BYTES long: a longer gap is cut
 * there, and the bytes behind the cut get a gap of their own, by the rate of that time. A gap has
 * no memory, hence nothing becomes more or less likely by that.
 */
#include "agent/heap.h"

#include <errno.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/capture.h"
#include "agent/filter.h"
#include "agent/gap.h"
#include "agent/self.h"
#include "common/clock.h"
#include "common/spin.h"
#include "common/sys.h"

enum {
    IDLE_BYTES = 64 << 20, /* a thread that nobody told looks for a rate this often */
    ADAPT_FROM = 128 << 10,
    WINDOW_SAMPLES = 256,
    WINDOW_NS = 256000000,
    CLOCK_STEP_NS = 4000000,
    EXACT_ROWS = 4096,
    SIGNIFICANT_BITS = 4,
    PEAK_GROWTH = 32, /* a new peak is kept when it is 1/32 above the last */
};

static const uint64_t LOOK_BYTES = (uint64_t)2 << 30;

struct heap heap;

/* Two threads that begin in the same nanosecond differ in the address of their TLS. */
static void seed(struct rng *r) {
    r->state = hash_mix(sys_clock_ns(CLOCK_MONOTONIC) ^ agent.threads.cookie) ^ (uintptr_t)&self;
}

static void begin_countdown(void) {
    unsigned rate = atomic_load_explicit(&heap.rate, memory_order_relaxed);
    self.rate = (uint16_t)rate;
    self.recount = false;
    if (rate && !self.gaps.state)
        seed(&self.gaps);
    uint64_t gap = rate ? gap_draw(&self.gaps, heap_rate_bytes(rate)) : IDLE_BYTES;
    self.cut = gap >= LOOK_BYTES;
    self.left_bytes = (int64_t)(self.cut ? LOOK_BYTES : gap);
}

static void set_doublings(unsigned now, unsigned to) {
    uint32_t expected = now;
    atomic_compare_exchange_strong(&heap.rate, &expected, now - now % HEAP_DOUBLINGS + to);
    unsigned most = atomic_load(&heap.window.doublings_most);
    if (to > most)
        atomic_store(&heap.window.doublings_most, to);
}

/* By as much as there were too many: twice the rate halves them at most, so it never rises too far.
 * The clock's own steps are up to 4 ms. */
static unsigned steps_up(unsigned rate, uint64_t passed_ns) {
    unsigned steps = 1;
    while (2 * (passed_ns + CLOCK_STEP_NS) << steps <= WINDOW_NS)
        steps++;
    while (steps && heap_rate_bytes(rate) << steps > GAP_RATE_MAX)
        steps--;
    return steps;
}

/* Samples were taken, or none and there is time to look. */
static void adapt(uint64_t now_ns, unsigned samples) {
    unsigned n = atomic_fetch_add_explicit(&heap.window.n, samples, memory_order_relaxed) + samples;
    uint64_t passed = now_ns - atomic_load_explicit(&heap.window.began_ns, memory_order_relaxed);
    unsigned rate = atomic_load(&heap.rate), doublings = rate % HEAP_DOUBLINGS;
    if (n < WINDOW_SAMPLES && passed < WINDOW_NS)
        return;
    atomic_store(&heap.window.n, 0);
    atomic_store(&heap.window.began_ns, now_ns);
    if (!rate || heap_rate_bytes(rate - doublings) < ADAPT_FROM)
        return;
    if (passed < WINDOW_NS)
        set_doublings(rate, doublings + steps_up(rate, passed));
    for (; passed >= WINDOW_NS && doublings && 4 * n < WINDOW_SAMPLES; passed -= WINDOW_NS)
        set_doublings(rate, --doublings), rate--;
}

/*
 * A countdown that had no rate, or was ended from outside, says nothing about this block: a new one
 * is drawn first and then tested. Or every thread's first block would be a sample. Of a block that
 * lies across a cut, what is before the cut was tested already; the door has left the rest,
 * negated, in the countdown.
 */
unsigned heap_due(size_t size) {
    uint64_t untested = self.cut ? 0 - (uint64_t)self.left_bytes : (uint64_t)size + 1;
    bool anew = self.rate == 0 || self.recount;
    if (self.cut && atomic_load_explicit(&heap.rate, memory_order_relaxed))
        adapt(clock_coarse_ns(), 0);
    while (anew || self.cut) {
        anew = false;
        begin_countdown();
        if ((uint64_t)self.left_bytes >= untested) {
            self.left_bytes -= (int64_t)untested;
            return 0;
        }
        untested -= (uint64_t)self.left_bytes;
    }
    unsigned rate = self.rate;
    begin_countdown();
    return rate;
}

uint64_t heap_size_class(uint64_t size, uint64_t rows) {
    if (rows < EXACT_ROWS || size < 1u << SIGNIFICANT_BITS)
        return size;
    int drop = 64 - __builtin_clzll(size) - SIGNIFICANT_BITS;
    return size >> drop << drop;
}

static unsigned __int128 weight_of(const struct live_block *b) {
    return gap_weight(b->size, heap_rate_bytes(b->rate));
}

static struct row *row_of(const struct live_block *b) { return (struct row *)(uintptr_t)b->row; }

static void count_in_use(const struct live_block *b, unsigned __int128 weight, bool take_away) {
    row_add_scaled(row_of(b), HEAP_INUSE_OBJECTS, weight, 1, take_away);
    row_add_scaled(row_of(b), HEAP_INUSE_SPACE, weight, b->size, take_away);
    int64_t bytes = (int64_t)((weight * b->size) >> 32);
    atomic_fetch_add_explicit(&heap.live_bytes, take_away ? -bytes : bytes, memory_order_relaxed);
}

static void keep_row(struct row *r, void *arg) {
    r->peak[0] = row_scaled(r, HEAP_INUSE_OBJECTS);
    r->peak[1] = row_scaled(r, HEAP_INUSE_SPACE);
}

/* The estimate is about to fall: was it the highest so far? A copy of all rows then, at most 23 for
 * each doubling of the peak. */
static void keep_peak(void) {
    int64_t live = atomic_load_explicit(&heap.live_bytes, memory_order_relaxed);
    int64_t peak = atomic_load_explicit(&heap.peak.bytes, memory_order_relaxed);
    if (live <= peak + peak / PEAK_GROWTH || !spin_lock(&heap.peak.locked, 1))
        return;
    atomic_store(&heap.peak.bytes, live);
    table_each(&heap.table, keep_row, NULL);
    spin_unlock(&heap.peak.locked);
}

static void enter(struct live_block *b) {
    struct live_block old;
    unsigned __int128 weight = weight_of(b);
    row_add_scaled(row_of(b), HEAP_ALLOC_OBJECTS, weight, 1, false);
    row_add_scaled(row_of(b), HEAP_ALLOC_SPACE, weight, b->size, false);
    switch (live_put(&heap.live, &agent.arena, b, &old)) {
    case LIVE_REFUSED: agent_drop(DROP_LIVE); return;
    case LIVE_REPLACED:
        atomic_fetch_add(&heap.missed_frees, 1);
        count_in_use(&old, weight_of(&old), true);
        break;
    case LIVE_PUT: break;
    }
    count_in_use(b, weight, false);
}

void heap_enter(unsigned rate, void *p, size_t size) {
    if (!rate || !p)
        return;
    self_enter();
    live_expect(&heap.live, p);
    uint64_t now_ns = clock_coarse_ns();
    uint64_t rows = atomic_load_explicit(&heap.table.chains.n, memory_order_relaxed);
    struct row *r =
        table_row(&heap.table, &agent.arena, capture_here(), NULL, heap_size_class(size, rows));
    uint32_t born = (uint32_t)(now_ns / 1000000000u);
    struct live_block b = {
        .at = (uintptr_t)p,
        .rate = rate,
        .row = (uintptr_t)r,
        .size = size,
        .born_hi = born >> 16,
        .born_lo = born & 0xffff,
    };
    if (r == &heap.table.other)
        agent_drop(DROP_TABLE_FULL);
    atomic_fetch_add_explicit(&heap.samples, 1, memory_order_relaxed);
    enter(&b);
    adapt(now_ns, 1);
    self_leave();
}

bool heap_take(void *p, struct live_block *ret) {
    if (!filter_likely(p))
        return false;
    self_enter();
    bool found = live_take(&heap.live, p, ret);
    self_leave();
    return found;
}

void heap_freed(const struct live_block *b) {
    self_enter();
    if (heap.peak.on)
        keep_peak();
    count_in_use(b, weight_of(b), true);
    self_leave();
}

/* Its address is still the host's: nobody else can have entered it. */
void heap_put_back(const struct live_block *b) {
    struct live_block old;
    self_enter();
    if (live_put(&heap.live, &agent.arena, b, &old) == LIVE_REFUSED) {
        agent_drop(DROP_LIVE);
        count_in_use(b, weight_of(b), true);
    }
    self_leave();
}

/* Under the lock: where that rate stands, or is put. */
static unsigned rate_slot(uint64_t rate) {
    for (unsigned i = 1; i < HEAP_RATES; i++) {
        uint64_t known = atomic_load(&heap.rates[i]);
        if (!known)
            atomic_store(&heap.rates[i], rate);
        if (!known || known == rate)
            return i;
    }
    return 0;
}

int heap_set_rate(uint64_t rate) {
    if (rate > GAP_RATE_MAX)
        return -EINVAL;
    if (!spin_lock(&heap.locked, SPIN_PATIENCE))
        return -EBUSY;
    unsigned slot = rate ? rate_slot(rate) : 0;
    if (slot || !rate)
        atomic_store(&heap.rate, slot * HEAP_DOUBLINGS);
    spin_unlock(&heap.locked);
    if (rate && !slot)
        return -ENOSPC;
    threads_recount();
    return 0;
}

/* The parent's rates stay numbered as they are, and so do its choices. */
void heap_reset(void) {
    if (atomic_load(&heap.samples))
        filter_reset();
    live_reset(&heap.live);
    memset(&heap.table, 0, sizeof heap.table);
    heap.samples = heap.missed_frees = 0;
    heap.live_bytes = 0;
    heap.locked = heap.peak.locked = 0;
    heap.peak.bytes = 0;
    atomic_store(&heap.window.n, 0);
    atomic_store(&heap.window.doublings_most, 0);
    self.gaps.state = 0;
    self.recount = true;
    self.held_bytes = 0;
}
