/*
 * CALM. Who serves the host's memory, and how much does it say it serves?
 */
#include "preload/provider.h"

#include <dlfcn.h>
#include <malloc.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/self.h"
#include "preload/real.h"

typedef int mallctl_fn(const char *name, void *old, size_t *old_bytes, void *new, size_t new_bytes);

static bool ask_glibc(uint64_t *ret_bytes) {
    struct mallinfo2 (*info)(void) = (struct mallinfo2(*)(void))real_of_provider("mallinfo2");
    if (!info)
        return false;
    struct mallinfo2 m = info();
    *ret_bytes = m.uordblks + m.hblkhd;
    return true;
}

/* jemalloc's figures are those of its last epoch. */
static bool ask_jemalloc(uint64_t *ret_bytes) {
    mallctl_fn *ctl = (mallctl_fn *)real_of_provider("mallctl");
    uint64_t epoch = 1;
    size_t bytes = 0, n = sizeof bytes;
    if (!ctl || ctl("epoch", NULL, NULL, &epoch, sizeof epoch) != 0 ||
        ctl("stats.allocated", &bytes, &n, NULL, 0) != 0)
        return false;
    *ret_bytes = bytes;
    return true;
}

static bool ask_tcmalloc(uint64_t *ret_bytes) {
    int (*get)(const char *, size_t *) =
        (int (*)(const char *, size_t *))real_of_provider("MallocExtension_GetNumericProperty");
    size_t bytes = 0;
    if (!get || !get("generic.current_allocated_bytes", &bytes))
        return false;
    *ret_bytes = bytes;
    return true;
}

static bool allocated(uint64_t *ret_bytes) {
    return ask_jemalloc(ret_bytes) || ask_tcmalloc(ret_bytes) || ask_glibc(ret_bytes);
}

/* A second allocator, called by names of its own (Rust's jemallocator, libraries that carry
 * mimalloc). The provider's own prefixed names are as unseen, but nobody calls them by habit. */
static void find_unseen(struct provider *p) {
    static const char *const names[] = {"je_malloc", "_rjem_malloc", "mi_malloc", "tc_malloc"};
    for (unsigned i = 0; i < sizeof names / sizeof *names && !p->unseen; i++) {
        void *f = dlsym(RTLD_DEFAULT, names[i]);
        Dl_info info;
        if (!f || real_of_provider(names[i]) == f || !dladdr(f, &info))
            continue;
        p->unseen = names[i];
        p->unseen_path = info.dli_fname;
    }
}

void provider_find(void) {
    struct provider *p = &agent.provider;
    self_enter();
    p->owned = real.owns_malloc;
    p->operators = real.owns_new != 0;
    p->path = p->owned ? real_provider() : real_in_front();
    p->allocated = allocated;
    find_unseen(p);
    self_leave();
}
