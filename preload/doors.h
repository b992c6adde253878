#pragma once
/*
 * CALM. The four doors that are called most, written anew once everything that they ask for is
 * known. As compiled each loads two constants of the process in every call, where the countdown
 * lies behind the thread pointer and where the real function is, and jumps to wherever the second
 * says; in the new ones both are part of the instructions. That is about a nanosecond of a cold
 * pair, and with the agent off all of what the doors cost (docs/performance.md).
 */
#include <stdbool.h>
#include <stddef.h>

/* Room for a door: each begins at a multiple of it, in a section of their own. */
#define DOOR_BYTES 64
#define DOOR       __attribute__((section("doors"), aligned(DOOR_BYTES)))

/* What malloc.c does once a countdown ran out or the filter said "perhaps". */
void *malloc_due(size_t n);
void *calloc_due(size_t n, size_t size);
void *realloc_due(void *p, size_t n);
void *realloc_kept(void *p, size_t n);
void free_due(void *p);

/*
 * Writes them, after real_resolve(), while nobody else runs. With straight they lead on and nothing
 * else, for a process in which the agent stays off. Where a step is refused (more threads than one,
 * a rule against new executable memory, a real function too far away) the compiled ones stay, which
 * do the same.
 */
void doors_write(bool straight);
