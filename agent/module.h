#pragma once
/*
 * ANYWHERE. What code is mapped where: every executable range of the process, read from
 * /proc/self/maps with raw system calls and from the ELF headers in memory. Neither the loader's
 * lock nor its lists are touched (dl_iterate_phdr under a sampled malloc is the classic deadlock:
 * gperftools#1583, hpctoolkit#109).
 *
 * The list is replaced as a whole; modules themselves never change, but for the unwind table that
 * one may get later, and are never freed, so the names of a library outlive its dlclose. One
 * refresher at a time; everybody else goes on with the list there is.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/cfi_quick.h"

struct eh_index;
enum module_table { TABLE_NONE, TABLE_WANTED, TABLE_DONE };

struct module {
    struct module *older;        /* all modules ever seen, newest first */
    uint64_t start, end, offset; /* the text range, as /proc/self/maps shows it */
    uint64_t dev, inode;
    const char *path;
    char build_id[64 + 1];     /* lower-case hex */
    uint64_t bias;             /* run-time address less that in the file */
    uint64_t data_lo, data_hi; /* its variables, from the first to the last; 0: unknown */
    uint16_t tenant;  /* how many other modules had this place before; frames carry it (stack.h) */
    uint64_t mark_at; /* bytes by which this module is told from another at the same place: */
    uint8_t mark[24]; /* of its build id, or of its ELF header */
    uint8_t mark_n;   /* 0: none */
    bool pinned;      /* there at load: never unloaded, its pages may be read without care */
    uint64_t eh_hdr;  /* address of .eh_frame_hdr, 0: none that we can search */
    uint32_t eh_rows; /* entries of its binary search table */
    uint64_t eh_lo, eh_hi;          /* the segment around it */
    uint64_t eh_frame;              /* the records themselves, 0 unknown */
    struct eh_index *_Atomic index; /* into the search table, once it was asked */
    struct cfi_usual usual;
    const struct cfi_table *_Atomic table; /* a private copy for code that may go away (rules.h) */
    _Atomic(enum module_table) table_state;
};

struct module_range {
    uint64_t start, end;
    const struct module *module; /* NULL: executable memory without a file (JIT) */
};

struct module_list {
    uint32_t n, cap;
    uint64_t passing_lo, passing_hi; /* around all modules that may be unloaded */
    struct module_range at[];        /* by address */
};

enum { MODULE_LISTS = 3, MODULE_PINNED = 256 };

struct modules {
    const struct module_list *_Atomic current;
    struct module_list
        *lists[MODULE_LISTS]; /* recycled: a late reader finds other ranges, never bad memory */
    unsigned turn;
    struct module *_Atomic newest;
    atomic_uint busy;               /* the refresher's flag */
    atomic_uint_fast64_t next_ns;   /* no refresh from a handler before this time */
    atomic_uint generation;         /* grows when a range of the list changes */
    uint64_t pinned[MODULE_PINNED]; /* starts of the ranges there at load */
    uint32_t n_pinned;
    atomic_uint_fast64_t
        strange; /* page that was being executed and yet is not in the maps ([vsyscall]) */
    atomic_size_t table_bytes; /* of all unwind tables */
};

/* Reads the maps anew. At load the ranges found are remembered as pinned. False if somebody else is
 * at it or /proc cannot be read. */
bool modules_refresh(bool at_load);
/* The same, for a handler that met an unknown address: never more than 0.5 % of the time, after a
 * burst of 2 ms. */
bool modules_refresh_now_and_then(void);
/* The same at once, for an address that is being executed and hence is new code; not twice for one
 * page. */
bool modules_refresh_for(uint64_t executing);
/* The executable range that holds the address, or NULL. */
const struct module_range *module_range_find(uint64_t pc);
/* False if another module has taken its place meanwhile. One system call. */
bool module_holds(const struct module *m);
/* The module that holds or held the address of a frame, of which it may be the second or third
 * tenant; NULL for anonymous memory. */
const struct module *module_find_ever(uint64_t frame);
/* In a fork child: the lists were wiped; what was pinned at load still is. */
void modules_reset(void);
