/*
 * CALM. Doors of the functions by which a program announces unwind tables of code that it makes at
 * run time.
 *
 * The real ones live in libgcc_s or LLVM's libunwind, and a C program may have neither, or get one
 * later with a plugin that it keeps to itself (RTLD_LOCAL). So where the table of real.h has none,
 * each call looks as the loader would have done for that caller without us: in the global scope
 * behind us, then in what the caller was linked with. Nothing is remembered, because such a library
 * may go away again. Found nowhere: the copy of ours is all there is, and its end must not reach a
 * registrar that came meanwhile (libgcc aborts on what it does not know).
 *
 * libgcc's functions call each other through these doors, some by a jump, so that the caller seems
 * to be us: within a registrar (self.registrar) its own scope counts.
 */
#include <dlfcn.h>
#include <stdint.h>

#include "agent/agent.h"
#include "agent/registered.h"
#include "agent/self.h"
#include "preload/real.h"

/* dlopen, because an object that came as another's dependency has no scope of its own before. */
static void *in_scope_of(const void *caller, const char *name) {
    Dl_info info, own;
    void *object = dladdr(caller, &info) ? dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    void *p = object ? dlsym(object, name) : NULL;
    if (object)
        dlclose(object);
    bool ours = p && dladdr(p, &info) && dladdr((void *)in_scope_of, &own) &&
                info.dli_fbase == own.dli_fbase;
    return ours ? NULL : p;
}

/* The last try is for callers that are made at run time themselves. */
static void *find_next(const void *caller, const char *name) {
    self_enter();
    void *p = dlsym(RTLD_NEXT, name);
    p = p ? p : in_scope_of(self.registrar ? self.registrar : caller, name);
    void *libgcc = p ? NULL : dlopen("libgcc_s.so.1", RTLD_LAZY | RTLD_NOLOAD);
    if (libgcc) {
        p = dlsym(libgcc, name);
        dlclose(libgcc);
    }
    real_forget_errors();
    self_leave();
    return p;
}

#define NEXT(name) \
    (real_resolve(), real.name ? (void *)real.name : find_next(__builtin_return_address(0), #name))

/* Runs a call of the real function. */
#define WITHIN(function, call)                     \
    do {                                           \
        const void *outer = self.registrar;        \
        self.registrar = (const void *)(function); \
        call;                                      \
        self.registrar = outer;                    \
    } while (0)

/* LLVM's libunwind takes one function's record at a time, and says so by this name. */
static bool takes_single(const void *registrar) {
    self_enter();
    bool yes = registrar && in_scope_of(registrar, "__unw_add_dynamic_fde");
    real_forget_errors();
    self_leave();
    return yes;
}

static void add(const void *key, const void *begin, void *object, void *registrar) {
    if (!agent_on() || self.busy || !begin)
        return;
    const uint32_t *head = begin;
    struct registration r = {.key = (uintptr_t)key,
                             .begin = (uintptr_t)begin,
                             .object = object,
                             .forwarded = registrar != NULL};
    if (head[0] == 0)
        return;
    r.single = head[1] != 0 && takes_single(registrar);
    self_enter();
    registered_add(&r);
    self_leave();
}

/* A row of pointers to records, ended by NULL. */
static void add_table(void *const *table, void *object, void *registrar) {
    for (void *const *at = table; *at; at++)
        add(table, *at, object, registrar);
}

/* True if the real registrar has to hear of it. */
static bool end(const void *key, struct registration *ret) {
    if (!agent_on() || self.busy || !key)
        return true;
    self_enter();
    bool known = registered_remove((uintptr_t)key, ret);
    self_leave();
    return !known || ret->forwarded;
}

void __register_frame(void *begin) {
    void (*next)(void *) = NEXT(__register_frame);
    if (next)
        WITHIN(next, next(begin));
    add(begin, begin, NULL, (void *)next);
}

void __register_frame_table(void *begin) {
    void (*next)(void *) = NEXT(__register_frame_table);
    if (next)
        WITHIN(next, next(begin));
    add_table(begin, NULL, (void *)next);
}

void __register_frame_info(const void *begin, void *object) {
    void (*next)(const void *, void *) = NEXT(__register_frame_info);
    if (next)
        WITHIN(next, next(begin, object));
    add(begin, begin, object, (void *)next);
}

void __register_frame_info_bases(const void *begin, void *object, void *text, void *data) {
    void (*next)(const void *, void *, void *, void *) = NEXT(__register_frame_info_bases);
    if (next)
        WITHIN(next, next(begin, object, text, data));
    add(begin, begin, object, (void *)next);
}

void __register_frame_info_table(void *begin, void *object) {
    void (*next)(void *, void *) = NEXT(__register_frame_info_table);
    if (next)
        WITHIN(next, next(begin, object));
    add_table(begin, object, (void *)next);
}

void __register_frame_info_table_bases(void *begin, void *object, void *text, void *data) {
    void (*next)(void *, void *, void *, void *) = NEXT(__register_frame_info_table_bases);
    if (next)
        WITHIN(next, next(begin, object, text, data));
    add_table(begin, object, (void *)next);
}

void __deregister_frame(void *begin) {
    struct registration r = {0};
    void (*next)(void *) = end(begin, &r) ? NEXT(__deregister_frame) : NULL;
    if (next)
        WITHIN(next, next(begin));
}

void *__deregister_frame_info(const void *begin) {
    struct registration r = {0};
    void *(*next)(const void *) = end(begin, &r) ? NEXT(__deregister_frame_info) : NULL;
    void *object = r.object;
    if (next)
        WITHIN(next, object = next(begin));
    return object;
}

void *__deregister_frame_info_bases(const void *begin) {
    struct registration r = {0};
    void *(*next)(const void *) = end(begin, &r) ? NEXT(__deregister_frame_info_bases) : NULL;
    void *object = r.object;
    if (next)
        WITHIN(next, object = next(begin));
    return object;
}
