#include "symbols/demangle.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "symbols/rust.h"

/* A dump may run on a small stack, and 1024 characters take up to 345 KiB of it in libstdc++ 12
 * ("_Z1fPPP...i"; 340 bytes a character), 135 KiB at least in libc++abi 14. libstdc++ stops here by
 * itself, libc++abi does not. */
enum { MAX_CXX = 1024 };

typedef char *cxa_demangle_fn(const char *mangled, char *out, size_t *n, int *status);

static cxa_demangle_fn *cxa_demangle;
/* The free that belongs to the runtime's malloc. Behind another allocator that is not ours
 * (preloaded before us, a sanitizer's), and ours would give its block to libc. */
static void (*runtime_free)(void *);

/* The file name of a loaded C++ runtime into *arg. */
static int find_runtime(struct dl_phdr_info *info, size_t size, void *arg) {
    const char *slash = strrchr(info->dlpi_name, '/'), *base = slash ? slash + 1 : info->dlpi_name;
    if (strncmp(base, "libstdc++.so", 12) != 0 && strncmp(base, "libc++abi.so", 12) != 0)
        return 0;
    *(const char **)arg = info->dlpi_name;
    return 1;
}

/*
 * RTLD_NOLOAD finds what a plugin brought along with RTLD_LOCAL, and the handle we keep makes sure
 * that it stays. Asked by its bare name for a library that is not loaded, it would search the disk
 * first: 80 failed opens at the start of every C program. Hence the look at the loader's list.
 */
void demangle_load(void) {
    const char *path = NULL;
    if (cxa_demangle)
        return;
    cxa_demangle_fn *found = (cxa_demangle_fn *)dlsym(RTLD_DEFAULT, "__cxa_demangle");
    if (!found && dl_iterate_phdr(find_runtime, &path)) {
        void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
        found = library ? (cxa_demangle_fn *)dlsym(library, "__cxa_demangle") : NULL;
    }
    void *program = dlopen(NULL, RTLD_LAZY);
    runtime_free = program ? (void (*)(void *))dlsym(program, "free") : NULL;
    cxa_demangle = runtime_free ? found : NULL;
}

/* Length of an operator's name that would upset the count of brackets: "operator<<", "operator()".
 */
static size_t operator_length(const char *s) {
    static const char word[] = "operator";
    size_t n = sizeof word - 1;
    if (s[0] != 'o' || strncmp(s, word, n) != 0)
        return 0;
    if (strncmp(s + n, "()", 2) == 0)
        return n + 2;
    return n + strspn(s + n, "<>-=*");
}

/* Where the parameter list starts: the last "(" outside all brackets, or the end. */
static size_t parameters_at(const char *s) {
    static const char anonymous[] = "(anonymous namespace)";
    size_t found = strlen(s);
    int depth = 0;
    for (size_t i = 0; s[i];) {
        size_t skip = operator_length(s + i);
        if (!skip && s[i] == '(' && strncmp(s + i, anonymous, sizeof anonymous - 1) == 0)
            skip = sizeof anonymous - 1;
        if (!skip && s[i] == '-' && s[i + 1] == '>')
            skip = 2;
        if (skip) {
            i += skip;
            continue;
        }
        if (s[i] == '(' && depth == 0)
            found = i;
        if (strchr("(<{[", s[i]))
            depth++;
        else if (strchr(")>}]", s[i]))
            depth--;
        i++;
    }
    return found;
}

static char *demangle_cxx(const char *mangled) {
    if (!cxa_demangle || strlen(mangled) > MAX_CXX)
        return NULL;
    int status = 0;
    char *name = cxa_demangle(mangled, NULL, NULL, &status);
    if (!name)
        return NULL;
    size_t n = parameters_at(name);
    char *copy = malloc(n + 1);
    if (copy) {
        memcpy(copy, name, n);
        copy[n] = '\0';
    }
    runtime_free(name);
    return copy;
}

char *demangle(const char *mangled) {
    if (mangled[0] != '_' || (mangled[1] != 'Z' && mangled[1] != 'R'))
        return NULL;
    char *name = rust_demangle(mangled);
    return name || mangled[1] == 'R' ? name : demangle_cxx(mangled);
}
