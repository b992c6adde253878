#pragma once
/*
 * ANYWHERE. Profile files: names from the pattern, a temporary in the same folder, renamed when
 * whole. Nothing that exists is ever replaced: a name that is taken gets the next number. The
 * descriptor lives from out_open to out_commit and at a high number, so that no file of the host
 * gets another one.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/quiet.h"

struct out {
    int fd;
    char path[1024]; /* the final name */
    char temporary[1024];
    struct quiet quiet; /* from open to commit */
};

/* Opens a temporary for a file of that kind and number: 0 or -errno. */
int out_open(struct out *o, const char *kind, unsigned number);
/* Gives it its name (o->path says which): 0 or -errno. */
int out_commit(struct out *o);
/* Removes the temporary instead. */
void out_abandon(struct out *o);
/* The pattern filled in. try > 1 adds "-try" before the ending. False if it is too long. For tests.
 */
bool out_name(const char *pattern, const char *folder, const char *exe, const char *kind,
              unsigned number, unsigned try, uint64_t utc_ns, char *to, size_t cap);
