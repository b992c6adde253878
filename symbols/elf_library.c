#include "symbols/elf_library.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>

struct libelf libelf;

static const struct {
    const char *name;
    size_t at;
} functions[] = {
#define ROW(name) {#name, offsetof(struct libelf, name)},
    LIBELF(ROW)
#undef ROW
};

int elf_library_load(void) {
    if (libelf.elf_version)
        return 0;
    void *library = dlopen("libelf.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return -ENOENT;
    struct libelf found = {0};
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        void *p = dlsym(library, functions[i].name);
        if (!p) {
            dlclose(library);
            return -ENOENT;
        }
        *(void **)((char *)&found + functions[i].at) = p;
    }
    void *lzma = dlopen("liblzma.so.5", RTLD_NOW | RTLD_LOCAL);
    if (lzma)
        found.lzma_decode = (lzma_decode_fn *)dlsym(lzma, "lzma_stream_buffer_decode");
    found.elf_version(EV_CURRENT);
    libelf = found;
    return 0;
}
