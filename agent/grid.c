/* ANYWHERE. */
#include "agent/grid.h"

static const uint64_t SECOND = 1000000000u, SHORTEST_LOOK = 1000000u;

static void draw(struct grid *g, uint64_t period) {
    uint64_t at = rng_below(&g->rng, period);
    g->left += (int64_t)(g->rest + at);
    g->rest = period - at;
    g->period = period;
}

bool grid_step(struct grid *g, uint64_t period_ns, uint64_t d, struct grid_hit *ret_hit) {
    if (d >= period_ns || d >= GRID_KEEP_NS) {
        *ret_hit = (struct grid_hit){d, GRID_ONE};
        return d > 0;
    }
    if (!g->period)
        draw(g, period_ns);
    uint64_t delay = 0;
    g->left -= (int64_t)d;
    while (g->left < 0) {
        delay += g->period;
        draw(g, period_ns);
    }
    if (!delay)
        return false;
    ret_hit->delay_ns = delay;
    ret_hit->count = delay * GRID_ONE / d;
    return true;
}

void grid_pace_init(struct grid_pace *p, uint64_t period_ns, uint64_t now) {
    p->asked_ns = period_ns;
    atomic_store(&p->period_ns, period_ns);
    atomic_store(&p->since_ns, now);
    atomic_store(&p->n, 0);
}

/* Twice as often as agreed, or a second has passed: the period that would have kept to the budget,
 * at most eight times, at least half of the present one. */
void grid_pace_count(struct grid_pace *p, uint64_t now) {
    unsigned n = atomic_fetch_add_explicit(&p->n, 1, memory_order_relaxed) + 1;
    uint64_t since = atomic_load_explicit(&p->since_ns, memory_order_relaxed);
    uint64_t passed = now > since ? now - since : 0;
    if (p->asked_ns < GRID_EXACT_NS || (passed < SECOND && n < 2 * GRID_BUDGET))
        return;
    if (!atomic_compare_exchange_strong(&p->since_ns, &since, now))
        return;
    atomic_store_explicit(&p->n, 0, memory_order_relaxed);
    if (passed < SHORTEST_LOOK)
        passed = SHORTEST_LOOK;
    uint64_t is = grid_pace_period(p);
    uint64_t want = (uint64_t)((double)is * n * (double)SECOND / ((double)passed * GRID_BUDGET));
    uint64_t most = 8 * is < GRID_LONGEST_NS ? 8 * is : GRID_LONGEST_NS;
    want = want < is / 2 ? is / 2 : want > most ? most : want;
    atomic_store_explicit(&p->period_ns, want > p->asked_ns ? want : p->asked_ns,
                          memory_order_relaxed);
}
