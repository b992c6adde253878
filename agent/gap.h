#pragma once
/*
 * ANYWHERE. Sampling by bytes: how far it is to the next sample, and what a sample stands for.
 *
 * Every byte is hit with probability 1/rate, and a block is sampled when at least one of its
 * size + 1 bytes is hit (the 1 makes malloc(0) countable). Hence, exactly:
 *
 *     gap = floor(rate * -ln u)      a block is sampled when gap < size + 1
 *     P(sampled) = 1 - exp(-(size + 1) / rate)
 *     weight = 1 / P                 blocks that a sample stands for (Horvitz and Thompson)
 *
 * The gap has no memory: what is left of it after an unsampled block is distributed as a new one.
 * A rate of 1 means every block, with weight 1.
 *
 * Integers only. No libm (lazy binding and errno inside malloc), and no floating point: a host may
 * have made its FPU trap on inexact results, or look at the sticky flags.
 */
#include <stdint.h>

#include "common/rng.h"

/* What adapting may reach (agent/heap.c); a user may ask for 1 GiB. */
#define GAP_RATE_MAX ((uint64_t)1 << 36)

/* Bytes to the next sample; rate from 1 to GAP_RATE_MAX. Cost: 60 ns. */
uint64_t gap_draw(struct rng *r, uint64_t rate);
/* Blocks that one sampled block of that size stands for, in units of 2^-32; up to 2^36 of them. The
 * error is below 2e-9 of it for rates that a user can ask for, 3e-7 for a block of one byte at the
 * largest. Cost: 60 ns. */
unsigned __int128 gap_weight(uint64_t size, uint64_t rate);
/* -log2(x / 2^64) in units of 2^-40, for x > 0; the error is below one unit. For gap_draw, and for
 * its test. */
uint64_t gap_minus_log2(uint64_t x);
