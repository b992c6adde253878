#pragma once
/* A chain of functions of every shape, chosen by a seed, that ends in a call which blocks. Compiled
 * twice: with frame pointers and without. Each function writes down where it returns to. */
#include <stdbool.h>
#include <stdint.h>

enum { CHAIN_MAX = 128 };

struct chain {
    uint64_t seed;
    unsigned left;            /* functions to go */
    bool fixed;               /* no function takes stack on request */
    void (*block)(void *arg); /* NULL: the chain only leaves its marks on the stack */
    void *arg;
    uint64_t returns_to[CHAIN_MAX]; /* outermost first */
    unsigned n;
};

int chain_with_frames(struct chain *c);
int chain_without_frames(struct chain *c);
