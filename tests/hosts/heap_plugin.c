/* A library that allocates and frees for others. */
#include <stdlib.h>

void *plugin_make(size_t n);
void plugin_take(void *p);

void *plugin_make(size_t n) {
    char *p = malloc(n);
    if (p)
        *(volatile char *)p = 1;
    return p;
}

void plugin_take(void *p) { free(p); }
