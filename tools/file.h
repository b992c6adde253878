#pragma once
/* Whole files, and the small ones under /proc. "-" is standard input. */
#include <stddef.h>

struct file {
    char *bytes; /* a NUL follows the last byte */
    size_t n;
};

/* 0 or -errno; *ret_file is written only on success. */
int file_read(const char *path, struct file *ret_file);
void file_done(struct file *f);
