#include "tools/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Files under /proc have no size: read until there is no more. */
static int read_all(int fd, struct file *f) {
    size_t cap = 0;
    for (;;) {
        if (cap - f->n < 2) {
            cap = cap ? 2 * cap : 16 << 10;
            char *more = realloc(f->bytes, cap);
            if (!more)
                return -ENOMEM;
            f->bytes = more;
        }
        ssize_t r = read(fd, f->bytes + f->n, cap - f->n - 1);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        f->bytes[f->n += (size_t)r] = '\0';
        if (r == 0)
            return 0;
    }
}

int file_read(const char *path, struct file *ret_file) {
    int fd = strcmp(path, "-") == 0 ? dup(0) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct file f = {0};
    int r = read_all(fd, &f);
    close(fd);
    if (r < 0) {
        file_done(&f);
        return r;
    }
    *ret_file = f;
    return 0;
}

void file_done(struct file *f) {
    free(f->bytes);
    *f = (struct file){0};
}
