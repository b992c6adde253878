#pragma once
/*
 * CALM. What preload/ found out about the host's allocator, for the heap profile and its comments.
 * Filled in before agent_start().
 */
#include <stdbool.h>
#include <stdint.h>

struct provider {
    bool owned;         /* the host's malloc is our door */
    bool operators;     /* it has operator new and delete of its own, which pass our doors too */
    const char *path;   /* the object that serves malloc; NULL unknown */
    const char *unseen; /* a function of another allocator that is there too, like je_malloc */
    const char *unseen_path; /* where */
    /* Bytes in use by the allocator's own count; false when it cannot say. Takes its locks. */
    bool (*allocated)(uint64_t *ret_bytes);
};
