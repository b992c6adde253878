#pragma once
/*
 * Which variable of an ELF file an address lies in, for what is known by where it is stored: locks.
 * One pass over the symbol tables for all addresses of a file.
 */
#include <stddef.h>
#include <stdint.h>

#include "common/snapshot.h"

struct object_wanted {
    uint64_t address; /* as the file numbers it: at run time less the load bias */
    uint64_t start;   /* out: of the variable */
    uint64_t size;    /* out; 0: none found */
    uint64_t name;    /* for symbols_objects() itself */
    const char *text; /* out: name for people, in the pool; NULL: none found */
};

/* Fills in start, size and text of each of n. Texts live as long as pool; its other contents are
 * not touched. */
void symbols_objects(const struct snapshot_mapping *file, struct object_wanted *w, size_t n,
                     struct snapshot *pool);
