#pragma once
/*
 * The addresses that wait for a name, sorted, so that a symbol finds the addresses it covers. That
 * way round because a binary has a hundred times more symbols than a profile has addresses in it:
 * the symbol table is read once, front to back, and never sorted.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A symbol that may name an address. */
struct candidate {
    uint64_t start, end; /* same space as wanted.at */
    uint64_t name;       /* where its text is; the owner of the table knows */
    uint8_t table;       /* 0: no candidate; a higher number is a better table */
    uint8_t binding;
    bool sizeless; /* end is the end of its section */
};

struct wanted {
    uint64_t at; /* file offset, or run-time address for a perf map */
    uint32_t location;
    uint32_t file;         /* addresses of one file are neighbours */
    struct candidate best; /* covers `at` by its size */
    struct candidate near; /* the nearest start at or below `at` of those that were noted here */
};

/* By file, then address. In place and without memory: qsort(3) of glibc calls malloc and sysconf.
 */
void wanted_sort(struct wanted *w, size_t n);

/* The first of n addresses of one file that is not below at; n if there is none. */
static inline size_t wanted_first(const struct wanted *w, size_t n, uint64_t at) {
    size_t low = 0;
    while (n > 0) {
        size_t half = n / 2;
        if (w[low + half].at < at) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return low;
}
