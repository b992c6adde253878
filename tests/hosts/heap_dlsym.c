/* A library, to be preloaded, that wraps dlsym and allocates in there, as other tools do. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

void *dlsym(void *restrict handle, const char *restrict name) {
    static void *(*next)(void *, const char *);
    char *copy = calloc(1, 100);
    if (!next)
        *(void **)&next = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
    if (!next)
        *(void **)&next = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.17");
    strncpy(copy, name, 99);
    copy = realloc(copy, 200);
    void *p = next(handle, copy);
    free(copy);
    return p;
}
