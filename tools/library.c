#include "tools/library.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Relative to the folder of the command; CPROF_LIBDIR is the configured one, absolute. */
static const char *const places[] = {
    "../preload", "../lib/x86_64-linux-gnu", "../lib/aarch64-linux-gnu", "../lib64", "../lib",
    CPROF_LIBDIR};

bool library_find(char *ret_path, size_t n) {
    char self[4096], candidate[8192], real[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len <= 0)
        return false;
    self[len] = '\0';
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        bool absolute = places[i][0] == '/';
        snprintf(candidate, sizeof candidate, "%s%s%s/libcprof.so", absolute ? "" : self,
                 absolute ? "" : "/", places[i]);
        if (access(candidate, R_OK) == 0 && realpath(candidate, real))
            return (size_t)snprintf(ret_path, n, "%s", real) < n;
    }
    return false;
}

bool library_unpreloadable(const char *path) { return strpbrk(path, ": \t\n") != NULL; }
