/* Any bytes as a JIT's map of names. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "symbols/perf_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t length;
static void found(void *context, const struct wanted *w, const char *name) {
    length += strlen(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char path[64];
    struct wanted w[] = {{.at = 0x10}, {.at = 0x1000}, {.at = 0x7f0000001000}, {.at = UINT64_MAX}};
    snprintf(path, sizeof path, "/tmp/fuzz-perf-%d.map", (int)getpid());
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    close(fd);
    perf_map_find(path, w, sizeof w / sizeof w[0], found, NULL);
    unlink(path);
    return 0;
}
