#pragma once
/* A test's temporary folder, with all that is in it, removed. */
#include <ftw.h>
#include <stdio.h>

static inline int tree_remove_one(const char *path, const struct stat *st, int type,
                                  struct FTW *at) {
    return remove(path), 0;
}

static inline void tree_remove(const char *path) {
    nftw(path, tree_remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
