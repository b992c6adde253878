#pragma once
/*
 * Address -> function name, for the locations of a snapshot. Names come from .symtab, .dynsym and
 * .gnu_debugdata of each mapping's file (read, never mapped: a file truncated under us would be a
 * SIGBUS; build id, device and inode are checked, so a replaced binary gives addresses and not
 * wrong names), and from perf-map files of JITs. C++ and Rust names are demangled; the linker's
 * name is kept beside.
 *
 * symbols_load() is CALM (it loads libelf privately). symbols_name() needs no loader and no libc
 * lock and may run in the dump of a single-threaded host, in a signal handler, provided malloc is
 * the agent's.
 */
#include <stdbool.h>

#include "common/snapshot.h"

/* Loads libelf (and, if present, liblzma) with dlopen(RTLD_LOCAL). 0 or -errno; calling again is
 * cheap. */
int symbols_load(void);
/* True once symbols_load() succeeded. */
bool symbols_loaded(void);

struct symbols_report {
    uint64_t named, unnamed;          /* locations */
    uint64_t files_read, files_stale; /* stale: on disk it is not the file that was mapped */
};

/* Gives every location with a mapping and without lines one line with a name, where one is found.
 * perf_map: path of a perf map to consult for locations outside files, or NULL. */
void symbols_name(struct snapshot *s, const char *perf_map, struct symbols_report *ret_report);
