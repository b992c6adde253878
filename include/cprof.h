/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcprof from inside a program. C99 and C++; nothing to link against.
 *
 * Every function here looks for libcprof.so in the running process at each call. A program that is
 * started without it runs as it would without this header: the functions say so (-ENOSYS, NULL) and
 * do nothing. So calls may stay in production code.
 *
 * Threads: every function may be called by any thread at any time, but not from a signal handler
 * (dlsym takes the loader's lock). A call costs about a microsecond while the profiler is absent.
 *
 * On C libraries older than glibc 2.34 add -ldl.
 */
#ifndef CPROF_H
#define CPROF_H

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* RTLD_DEFAULT by its value: the name exists only where _GNU_SOURCE is defined. */
static inline void *cprof_find_(const char *name) { return dlsym((void *)0, name); }

/*
 * Writes one file per profile type now, where and as CPROF_OUT says, as `cprof dump PID` would.
 * Returns when the files are complete: their number (0: no profile type is on), or a negative
 * errno: -ENOSYS without the profiler, -EBUSY when another dump did not end within two seconds,
 * otherwise why the first file could not be written (-ENOSPC, -EACCES).
 */
static inline int cprof_dump(void) {
    int (*dump)(void);
    void *found = cprof_find_("cprof_dump");
    if (!found)
        return -ENOSYS;
    memcpy(&dump, &found, sizeof dump);
    return dump();
}

/* The version of the profiler in this process, like "0.1.0", valid for ever; NULL without the
 * profiler. */
static inline const char *cprof_version(void) {
    const char *(*version)(void);
    void *found = cprof_find_("cprof_version");
    if (!found)
        return NULL;
    memcpy(&version, &found, sizeof version);
    return version();
}

#ifdef __cplusplus
}
#endif

#endif
