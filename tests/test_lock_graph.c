#include "agent/lock_graph.h"

#include <criterion/criterion.h>

static uint16_t circle[LOCK_EDGES_MAX];

static unsigned find(const struct lock_edge *edges, unsigned n) {
    return lock_graph_circle(edges, n, circle);
}

Test(lock_graph, nobody_waits) { cr_assert_eq(find(NULL, 0), 0); }

Test(lock_graph, a_chain_is_no_circle) {
    const struct lock_edge edges[] = {{.waiter = 1, .owner = 2}, {.waiter = 2, .owner = 3}};
    cr_assert_eq(find(edges, 2), 0);
}

Test(lock_graph, two_that_hold_what_the_other_wants) {
    const struct lock_edge edges[] = {{.waiter = 1, .owner = 2}, {.waiter = 2, .owner = 1}};
    cr_assert_eq(find(edges, 2), 2);
    cr_assert_eq(circle[0], 0);
    cr_assert_eq(circle[1], 1);
}

Test(lock_graph, a_thread_that_locks_twice) {
    const struct lock_edge edges[] = {{.waiter = 7, .owner = 7}};
    cr_assert_eq(find(edges, 1), 1);
}

Test(lock_graph, who_waits_for_a_circle_is_not_part_of_it) {
    const struct lock_edge edges[] = {{.waiter = 9, .owner = 8},
                                      {.waiter = 8, .owner = 1},
                                      {.waiter = 1, .owner = 2},
                                      {.waiter = 2, .owner = 3},
                                      {.waiter = 3, .owner = 1}};
    cr_assert_eq(find(edges, 5), 3);
    cr_assert_eq(circle[0] + circle[1] + circle[2], 2 + 3 + 4);
}

Test(lock_graph, an_unknown_owner_ends_the_chain) {
    const struct lock_edge edges[] = {{.waiter = 1, .owner = 0}, {.waiter = 2, .owner = 1}};
    cr_assert_eq(find(edges, 2), 0);
}

Test(lock_graph, a_long_ring_is_found) {
    static struct lock_edge edges[LOCK_EDGES_MAX];
    for (int i = 0; i < LOCK_EDGES_MAX; i++)
        edges[i] = (struct lock_edge){.waiter = i + 1, .owner = (i + 1) % LOCK_EDGES_MAX + 1};
    cr_assert_eq(find(edges, LOCK_EDGES_MAX), LOCK_EDGES_MAX);
}
