#include "common/kinds.h"

#include <string.h>

#define KIND(name, unit, rate, on, exit, windowed, ptype, punit, main, impl, n, ...) \
    [KIND_##name] = {#name, unit, rate, on, exit, windowed, ptype, punit, main, n, {__VA_ARGS__}},
#define KIND_ROW(...) KIND(__VA_ARGS__)

const struct kind_info kind_infos[KIND_COUNT] = {KINDS(KIND_ROW)};

const struct kind_info *kind_find(const char *name, unsigned n) {
    for (unsigned i = 0; i < KIND_COUNT; i++)
        if (strlen(kind_infos[i].name) == n && memcmp(kind_infos[i].name, name, n) == 0)
            return &kind_infos[i];
    return NULL;
}
