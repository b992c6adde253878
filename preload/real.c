/*
 * HOT (the stubs), CALM (the look-up, once).
 *
 * Why one provider: jemalloc has no reallocarray and no pvalloc, glibc has both. Taking each name
 * from the next object that has it would free glibc's pages with jemalloc. So malloc decides: the
 * object that defines the next malloc after us provides the family, what it lacks is made from what
 * it has, and only where that is impossible stays the next definition, which is what the host would
 * have got without us.
 *
 * All that only holds where the host's malloc is ours. Behind somebody else's (an allocator
 * preloaded before us, a program with its own) the calls that still reach us are those it lacks,
 * and each goes to the next definition as if we were not there: glibc's reallocarray calls the
 * realloc in front of us.
 *
 * Operator new and delete are doors only for an allocator that has its own. In a program without a
 * C++ library, a plugin that brings one (RTLD_LOCAL: Python's extensions) would bind to doors that
 * lead nowhere, because RTLD_NEXT cannot see its library. So unless the provider has operators,
 * ours are withdrawn before the first plugin can be loaded: their entries in our dynamic symbol
 * table lose their value, which to the loader means undefined. What has bound to them until then is
 * led on.
 *
 * Why no lock: dlsym takes the loader's lock. A thread that waited for our look-up inside a library
 * constructor would hold that lock while we want it. Two threads may look up at once; they find and
 * store the same.
 *
 * Why the barrier after dlsym: RTLD_NEXT means "after the object that called", which dlsym learns
 * from its return address. Compiled as a jump it would be our caller's object, and we would find
 * ourselves.
 */
#include "preload/real.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/self.h"
#include "common/pool.h"
#include "common/sys.h"

#define REAL(type, name, params, args, version) static type early_##name params;
REALS_ALL(REAL)
#undef REAL

#define REAL(type, name, params, args, version) .name = early_##name,
/* Until it is known otherwise the pool may serve the look-up itself. */
_Alignas(64) struct real real = {REALS_ALL(REAL).owns_malloc = true};
_Static_assert(offsetof(struct real, free) < 64, "what malloc and free need is one line");
#undef REAL

/*
 * A stub that still finds itself was called from inside the look-up (somebody's dlsym blocks
 * signals, say): it does nothing, successfully. malloc never gets here that way, the pool serves
 * it.
 */
#define REAL(type, name, params, args, version)      \
    static type early_##name params {                \
        real_resolve();                              \
        if (real.name == early_##name || !real.name) \
            return (type)0;                          \
        return real.name args;                       \
    }
REALS_NOT_LOCK_FIRST(REAL)
REALS_BEHIND(REAL)
#undef REAL

/*
 * The first lock may be an allocator's in front of us. The whole look-up would deadlock there, or
 * find that a stub did nothing for an unlock: dlsym allocates when a name is missing. These are
 * never missing.
 */
static void locks_first(void);
#define REAL(type, name, params, args, version)      \
    static type early_##name params {                \
        locks_first();                               \
        if (real.name == early_##name || !real.name) \
            return (type)0;                          \
        return real.name args;                       \
    }
REALS_LOCK_FIRST(REAL)
#undef REAL

static long early_syscall(long number, ...) {
    long a[6];
    va_list va;
    va_start(va, number);
    for (unsigned i = 0; i < 6; i++)
        a[i] = va_arg(va, long);
    va_end(va);
    long r = sys_raw(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (r >= 0 || r < -4095)
        return r;
    errno = (int)-r;
    return -1;
}

static int early_prctl(int option, ...) {
    va_list va;
    va_start(va, option);
    long a = va_arg(va, long), b = va_arg(va, long), c = va_arg(va, long), d = va_arg(va, long);
    va_end(va);
    return (int)early_syscall(SYS_prctl, (long)option, a, b, c, d, 0L);
}

/* Our own image, as the linker lays it out. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

static bool is_ours(const void *p) {
    return (const char *)p >= __ehdr_start && (const char *)p < _end;
}

/*
 * A library before us that wraps dlsym asks in its own place, and "the next after it" are then we:
 * calling ourselves would never end. libc's own dlsym, found by its version on x86-64 or aarch64,
 * asks in our place.
 */
static void *look_up_past_wrapper(const char *name) {
    static const char *const versions[] = {"GLIBC_2.2.5", "GLIBC_2.17"};
    void *p = NULL;
    for (unsigned i = 0; !p && i < sizeof versions / sizeof *versions; i++) {
        void *(*next)(void *, const char *) = dlvsym(RTLD_NEXT, "dlsym", versions[i]);
        if (next)
            p = next(RTLD_NEXT, name);
    }
    return is_ours(p) ? NULL : p;
}

static void *look_up(const char *name, const char *version) {
    void *p = version ? dlvsym(RTLD_NEXT, name, version) : NULL;
    if (!p)
        p = dlsym(RTLD_NEXT, name); /* a machine that began with a later version has but one */
    __asm__ volatile("" : "+r"(p));
    return is_ours(p) ? look_up_past_wrapper(name) : p;
}

static void *made_calloc(size_t n, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    void *p = real.malloc(bytes);
    return p ? memset(p, 0, bytes) : NULL;
}

/* glibc's own calls realloc by its public name and would come back through our door. */
static void *made_reallocarray(void *p, size_t n, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return real.realloc(p, bytes);
}

static void *aligned_by_posix(size_t align, size_t n) {
    void *p = NULL;
    int err = real.posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, n);
    if (!err)
        return p;
    errno = err;
    return NULL;
}

static void *memalign_by_aligned(size_t align, size_t n) { return real.aligned_alloc(align, n); }

static void *aligned_by_memalign(size_t align, size_t n) { return real.memalign(align, n); }

static int posix_by_memalign(void **ret_p, size_t align, size_t n) {
    if (align % sizeof(void *) || (align & (align - 1)) || !align)
        return EINVAL;
    int before = errno;
    void *p = real.memalign(align, n);
    errno = before;
    if (!p)
        return ENOMEM;
    *ret_p = p;
    return 0;
}

static void *made_valloc(size_t n) { return real.memalign((size_t)getpagesize(), n); }

static void *made_pvalloc(size_t n) {
    size_t page = (size_t)getpagesize(), bytes;
    if (__builtin_add_overflow(n, page - 1, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return real.memalign(page, bytes & ~(page - 1));
}

static size_t made_malloc_usable_size(void *p) {
    (void)p;
    return 0;
}

static void made_cfree(void *p) { real.host_free(p); }

static void made_free_sized(void *p, size_t n) {
    (void)n;
    real.host_free(p);
}

static void made_free_aligned_sized(void *p, size_t align, size_t n) {
    (void)align;
    (void)n;
    real.host_free(p);
}

static void *made_new(size_t n) { return real.malloc(n ? n : 1); }

static void *made_new_aligned(size_t n, size_t align) {
    return real.aligned_alloc(align, n ? n : 1);
}

static void made_delete(void *p) { real.free(p); }

/* No operator anywhere: only a weak reference of somebody who asks whether there is one binds to
 * ours. */
static void make_operators(struct real *f) {
#define REAL(type, name, params, args, version)                                      \
    if (!f->name)                                                                    \
        f->name = (type(*) params)(strstr(#name, "align") ? (void *)made_new_aligned \
                                                          : (void *)made_new);
    REALS_NEW(REAL)
#undef REAL
#define REAL(type, name, params, args, version) \
    if (!f->name)                               \
        f->name = (type(*) params)(void *)made_delete;
    REALS_DELETE(REAL)
#undef REAL
}

static bool lives_in(const void *base, const void *function) {
    Dl_info info;
    return function && dladdr(function, &info) && info.dli_fbase == base;
}

/* Where the provider has no such function: the one made from others, or, when there is none, the
 * next best. */
#define OR_MADE(name, made)                   \
    do {                                      \
        void *m = (void *)(made);             \
        if (!own.name && m)                   \
            f->name = (__typeof__(f->name))m; \
    } while (0)

static void one_provider(struct real *f) {
    Dl_info info;
    if (!dladdr((void *)f->malloc, &info))
        return;
#define REAL(type, name, params, args, version) bool name;
    struct {
        REALS_MALLOC(REAL)
    } own = {
#undef REAL
#define REAL(type, name, params, args, version) .name = lives_in(info.dli_fbase, (void *)f->name),
        REALS_MALLOC(REAL)
#undef REAL
    };
    own.reallocarray = false;
    OR_MADE(calloc, made_calloc);
    OR_MADE(reallocarray, made_reallocarray);
    OR_MADE(cfree, f->free);
    OR_MADE(memalign, own.aligned_alloc    ? memalign_by_aligned
                      : own.posix_memalign ? aligned_by_posix
                                           : NULL);
    bool aligned = own.memalign || own.aligned_alloc || own.posix_memalign;
    OR_MADE(posix_memalign, aligned ? posix_by_memalign : NULL);
    OR_MADE(aligned_alloc, aligned ? aligned_by_memalign : NULL);
    OR_MADE(valloc, aligned ? made_valloc : NULL);
    OR_MADE(pvalloc, aligned ? made_pvalloc : NULL);
    OR_MADE(malloc_usable_size, made_malloc_usable_size);
    OR_MADE(free_sized, made_free_sized);
    OR_MADE(free_aligned_sized, made_free_aligned_sized);
}

/* A bit for each operator new that is the provider's own. */
static uint8_t own_operators(void) {
    unsigned own = 0;
    Dl_info info;
    if (!real.owns_malloc || !dladdr((void *)real.malloc, &info))
        return 0;
#define REAL(type, name, params, args, version) \
    own |= (unsigned)lives_in(info.dli_fbase, (void *)real.name) << NEW##name;
    REALS_NEW(REAL)
#undef REAL
    bool both = (own & 1u << NEW_Znwm) && lives_in(info.dli_fbase, (void *)real._ZdlPv);
    return both ? (uint8_t)own : 0;
}

/* An operator may call malloc or aligned_alloc by its public name, as all of libstdc++'s do, and
 * jemalloc's aligned ones: then it is seen there. Asked inside the agent, where that name serves
 * from the pool. */
static bool comes_back(void *p) {
    bool back = p && pool_owns(p);
    if (back)
        free(p);
    else
        real.free(p);
    return back;
}

/* A sanitizer's allocator tells new from malloc, and looks at who frees what. */
static bool is_sanitizer(void) { return real_of_provider("__sanitizer_get_ownership"); }

void real_find_operators(void) {
    self_enter();
    unsigned own = is_sanitizer() ? 0 : own_operators();
    size_t n = 1, align = 64;
    const void *nothrow = &align;
#define REAL(type, name, params, args, version)                \
    if ((own & 1u << NEW##name) && comes_back(real.name args)) \
        own &= ~(1u << NEW##name);
    REALS_NEW(REAL)
#undef REAL
    __atomic_store_n(&real.owns_new, (uint8_t)own, __ATOMIC_RELAXED);
    self_leave();
}

static void withdraw_one(const void *door, const char *name) {
    Dl_info info;
    ElfW(Sym) *entry = NULL;
    if (!dladdr1(door, &info, (void **)&entry, RTLD_DL_SYMENT) || !entry || !info.dli_sname ||
        strcmp(info.dli_sname, name) != 0)
        return;
    uintptr_t page = (uintptr_t)entry & ~(uintptr_t)4095;
    size_t bytes = (uintptr_t)(entry + 1) - page;
    if (sys_call_3(SYS_mprotect, page, bytes, PROT_READ | PROT_WRITE) != 0)
        return;
    entry->st_value = 0;
    sys_call_3(SYS_mprotect, page, bytes, PROT_READ);
}

static void withdraw_operators(void) {
#define REAL(type, name, params, args, version) withdraw_one((void *)name, #name);
    REALS_NEW(REAL)
    REALS_DELETE(REAL)
#undef REAL
}

static struct link_map *first_object(void) {
    Dl_info info;
    struct link_map *first = NULL;
    if (!dladdr1(__ehdr_start, &info, (void **)&first, RTLD_DL_LINKMAP))
        return NULL;
    while (first && first->l_prev)
        first = first->l_prev;
    return first;
}

/*
 * Asks the first object's scope, the one that every library binds in: RTLD_DEFAULT would find us
 * first, because we are linked with -Bsymbolic. (dlopen(NULL) gives the same handle, but takes a
 * reference.) Four names, because in a program that is not position-independent and takes the
 * address of malloc, "the first malloc" is its own PLT entry.
 */
static bool owns_malloc(void) {
    struct link_map *first = first_object();
    return !first || dlsym(first, "malloc") == (void *)malloc ||
           dlsym(first, "calloc") == (void *)calloc || dlsym(first, "realloc") == (void *)realloc ||
           dlsym(first, "free") == (void *)free;
}

/* Also behind somebody else's malloc nothing that is asked for by its name may be NULL. */
static void find_host_free(struct real *f) {
    struct link_map *first = first_object();
    void *theirs = first && !f->owns_malloc ? dlsym(first, "free") : NULL;
    f->host_free = theirs ? (void (*)(void *))theirs : f->free;
    if (!f->cfree)
        f->cfree = made_cfree;
    if (!f->free_sized)
        f->free_sized = made_free_sized;
    if (!f->free_aligned_sized)
        f->free_aligned_sized = made_free_aligned_sized;
}

/* Also from inside an allocator that holds a lock of its own: so nothing is looked up here that may
 * be missing, see REALS_LOCK_FIRST. */
static void locks_first(void) {
    static pid_t resolving;
    pid_t me = sys_gettid();
    if (__atomic_load_n(&resolving, __ATOMIC_RELAXED) == me)
        return;
    __atomic_store_n(&resolving, me, __ATOMIC_RELAXED);
    struct real found;
#define REAL(type, name, params, args, version) \
    found.name = (type(*) params)look_up(#name, version);
    REALS_LOCK_FIRST(REAL)
#undef REAL
#define REAL(type, name, params, args, version) \
    __atomic_store_n(&real.name, found.name, __ATOMIC_RELAXED);
    REALS_LOCK_FIRST(REAL)
#undef REAL
    __atomic_store_n(&resolving, 0, __ATOMIC_RELAXED);
}

void real_resolve(void) {
    enum { DONE = -1 };
    static pid_t resolving; /* the thread that is in here, a second one need not know; or DONE */
    pid_t me = sys_gettid(), who = __atomic_load_n(&resolving, __ATOMIC_ACQUIRE);
    if (who == me || who == DONE)
        return;
    __atomic_store_n(&resolving, me, __ATOMIC_RELAXED);
    self_enter();
    locks_first();
    struct real found;
#define REAL(type, name, params, args, version) \
    found.name = (type(*) params)look_up(#name, version);
    REALS_ALL(REAL)
#undef REAL
    found.owns_malloc = owns_malloc();
    if (found.owns_malloc)
        one_provider(&found);
    find_host_free(&found);
    make_operators(&found);
    __atomic_store_n(&real.owns_malloc, found.owns_malloc, __ATOMIC_RELAXED);
    __atomic_store_n(&real.host_free, found.host_free, __ATOMIC_RELAXED);
#define REAL(type, name, params, args, version) \
    __atomic_store_n(&real.name, found.name, __ATOMIC_RELAXED);
    REALS_ALL(REAL)
#undef REAL
    if (!own_operators())
        withdraw_operators();
    self_leave();
    __atomic_store_n(&resolving, DONE, __ATOMIC_RELEASE);
}

static const char *path_of(const void *function) {
    Dl_info info;
    return function && dladdr(function, &info) ? info.dli_fname : NULL;
}

/* The second answer lets go of the first. */
void real_forget_errors(void) {
    if (dlerror())
        dlerror();
}

const char *real_provider(void) { return path_of((void *)real.malloc); }

const char *real_in_front(void) {
    struct link_map *first = first_object();
    return first ? path_of(dlsym(first, "malloc")) : NULL;
}

void *real_of_provider(const char *name) {
    Dl_info info;
    void *f = look_up(name, NULL);
    return dladdr((void *)real.malloc, &info) && lives_in(info.dli_fbase, f) ? f : NULL;
}
