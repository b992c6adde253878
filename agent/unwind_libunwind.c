/*
 * ANYWHERE. libunwind as an engine, through its remote interface: it asks us for memory, registers
 * and unwind tables, so neither dl_iterate_phdr nor its pipe-and-write address check is ever
 * reached. It is the generic library (libunwind-x86_64.so.8) and not libunwind.so.8, loaded
 * privately: in the global scope its _Unwind_* would take over the host's C++ exceptions.
 *
 * What is left inside it: one mutex around its cache of rules, taken with all signals blocked and
 * held for a lookup. Fork waits until no walk is under way (thread gate in kind_cpu.c), so a child
 * finds it free. Cost here: about 0.5 us a frame when the rule is cached, 4 us when not.
 */
#include "agent/unwind.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/self.h"
#include "common/sys.h"

#include <libunwind-x86_64.h>

/* Newer libunwinds have more accessors behind ours and copy all of them. */
struct accessors {
    unw_accessors_t acc;
    void *none[8];
};

static struct {
    unw_addr_space_t (*create_addr_space)(unw_accessors_t *, int);
    int (*init_remote)(unw_cursor_t *, unw_addr_space_t, void *);
    int (*step)(unw_cursor_t *);
    int (*get_reg)(unw_cursor_t *, int, unw_word_t *);
    int (*is_signal_frame)(unw_cursor_t *);
    int (*set_caching_policy)(unw_addr_space_t, unw_caching_policy_t);
    int (*set_cache_size)(unw_addr_space_t, size_t, int);
    void (*flush_cache)(unw_addr_space_t, unw_word_t, unw_word_t);
    int (*search_table)(unw_addr_space_t, unw_word_t, unw_dyn_info_t *, unw_proc_info_t *, int,
                        void *);
    struct accessors accessors;
    unw_addr_space_t space;
    atomic_uint generation; /* of the module list that the cache was filled under */
} lib;

enum { CACHED_RULES = 1024, MAX_STEPS = 2048 };

static int find_proc_info(unw_addr_space_t as, unw_word_t ip, unw_proc_info_t *pi, int need,
                          void *arg) {
    const struct module_range *r = walk_is_code(ip) ? module_range_find(ip) : NULL;
    const struct module *m = r ? r->module : NULL;
    if (!m || !m->eh_hdr)
        return -UNW_ENOINFO;
    unw_dyn_info_t di = {
        .format = UNW_INFO_FORMAT_REMOTE_TABLE, .start_ip = m->start, .end_ip = m->end};
    di.u.rti.segbase = m->eh_hdr;
    di.u.rti.table_data = m->eh_hdr + 12;
    di.u.rti.table_len = (uint64_t)m->eh_rows * 8 / sizeof(unw_word_t);
    return lib.search_table(as, ip, &di, pi, need, arg);
}

static void put_unwind_info(unw_addr_space_t as, unw_proc_info_t *pi, void *arg) {}

static int get_dyn_info_list_addr(unw_addr_space_t as, unw_word_t *addr, void *arg) {
    return -UNW_ENOINFO;
}

/* Tables of modules that can never be unloaded are read in place; everything else through a window.
 */
static int access_mem(unw_addr_space_t as, unw_word_t addr, unw_word_t *val, int write, void *arg) {
    struct walk *w = arg;
    const struct module *m = w->tables;
    if (m && addr >= m->eh_lo && addr + 8 <= m->eh_hi) {
        memcpy(val, (const void *)addr, sizeof *val);
        return 0;
    }
    return !write && walk_load(w, addr, val) ? 0 : -UNW_EINVAL;
}

static int access_reg(unw_addr_space_t as, unw_regnum_t reg, unw_word_t *val, int write,
                      void *arg) {
    static const signed char greg[] = {
        [UNW_X86_64_RAX] = REG_RAX, [UNW_X86_64_RDX] = REG_RDX, [UNW_X86_64_RCX] = REG_RCX,
        [UNW_X86_64_RBX] = REG_RBX, [UNW_X86_64_RSI] = REG_RSI, [UNW_X86_64_RDI] = REG_RDI,
        [UNW_X86_64_RBP] = REG_RBP, [UNW_X86_64_RSP] = REG_RSP, [UNW_X86_64_R8] = REG_R8,
        [UNW_X86_64_R9] = REG_R9,   [UNW_X86_64_R10] = REG_R10, [UNW_X86_64_R11] = REG_R11,
        [UNW_X86_64_R12] = REG_R12, [UNW_X86_64_R13] = REG_R13, [UNW_X86_64_R14] = REG_R14,
        [UNW_X86_64_R15] = REG_R15, [UNW_X86_64_RIP] = REG_RIP,
    };
    const struct walk *w = arg;
    if (write || reg < 0 || reg > UNW_X86_64_RIP)
        return -UNW_EBADREG;
    *val = (unw_word_t)w->context->uc_mcontext.gregs[greg[reg]];
    return 0;
}

static int access_fpreg(unw_addr_space_t as, unw_regnum_t reg, unw_fpreg_t *val, int write,
                        void *arg) {
    return -UNW_EBADREG;
}

static int resume(unw_addr_space_t as, unw_cursor_t *c, void *arg) { return -UNW_EINVAL; }

static int get_proc_name(unw_addr_space_t as, unw_word_t addr, char *buf, size_t len,
                         unw_word_t *off, void *arg) {
    return -UNW_ENOINFO;
}

static int load_symbols(void) {
    void *so = dlopen("libunwind-x86_64.so.8", RTLD_NOW | RTLD_LOCAL);
    if (!so)
        return -ENOENT;
    const struct {
        void *to;
        const char *name;
    } wanted[] = {
        {&lib.create_addr_space, "_Ux86_64_create_addr_space"},
        {&lib.init_remote, "_Ux86_64_init_remote"},
        {&lib.step, "_Ux86_64_step"},
        {&lib.get_reg, "_Ux86_64_get_reg"},
        {&lib.is_signal_frame, "_Ux86_64_is_signal_frame"},
        {&lib.set_caching_policy, "_Ux86_64_set_caching_policy"},
        {&lib.set_cache_size, "_Ux86_64_set_cache_size"},
        {&lib.flush_cache, "_Ux86_64_flush_cache"},
        {&lib.search_table, "_Ux86_64_dwarf_search_unwind_table"},
    };
    for (unsigned i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        void *f = dlsym(so, wanted[i].name);
        if (!f)
            return -ENOSYS;
        memcpy(wanted[i].to, &f, sizeof f);
    }
    return 0;
}

/* The two lowest free descriptors, which the next pipe will get. */
static void next_pipe(int fds[2]) {
    if (sys_call_2(SYS_pipe2, fds, O_CLOEXEC) != 0)
        fds[0] = fds[1] = -1;
    sys_close(fds[0]);
    sys_close(fds[1]);
}

/* Its initialisation opens a pipe for address checks that our accessors make unnecessary. Left open
 * it takes the numbers that the host's files would get, and in sshd a closefrom() once made it eat
 * packets (libunwind#274). */
static void close_pipe(const int fds[2]) {
    struct stat in, out;
    if (sys_fstat(fds[0], &in) != 0 || sys_fstat(fds[1], &out) != 0 || !S_ISFIFO(in.st_mode) ||
        in.st_ino != out.st_ino || in.st_dev != out.st_dev)
        return;
    sys_close(fds[0]);
    sys_close(fds[1]);
}

static int libunwind_load(void) {
    int pipe_fds[2];
    if (lib.space)
        return 0;
    self_enter();
    next_pipe(pipe_fds);
    int err = load_symbols();
    if (err == 0) {
        lib.accessors.acc = (unw_accessors_t){
            .find_proc_info = find_proc_info,
            .put_unwind_info = put_unwind_info,
            .get_dyn_info_list_addr = get_dyn_info_list_addr,
            .access_mem = access_mem,
            .access_reg = access_reg,
            .access_fpreg = access_fpreg,
            .resume = resume,
            .get_proc_name = get_proc_name,
        };
        lib.space = lib.create_addr_space(&lib.accessors.acc, 0);
        if (lib.space) {
            lib.set_caching_policy(lib.space, UNW_CACHE_GLOBAL);
            lib.set_cache_size(lib.space, CACHED_RULES, 0);
        }
        close_pipe(pipe_fds);
    }
    self_leave();
    return err ? err : lib.space ? 0 : -ENOMEM;
}

/* flush_cache only bumps a generation count: safe anywhere. */
static void libunwind_reset(void) { lib.flush_cache(lib.space, 0, 0); }

static void libunwind_walk(struct walk *w) {
    unw_cursor_t c;
    unw_word_t ip;
    bool exact = true; /* the frame's address is that of an instruction, not behind a call */
    unsigned now = atomic_load_explicit(&agent.modules.generation, memory_order_acquire);
    if (atomic_exchange(&lib.generation, now) != now)
        libunwind_reset();
    w->end = WALK_CUT;
    if (lib.init_remote(&c, lib.space, w) < 0)
        return;
    for (;;) {
        bool trampoline = lib.is_signal_frame(&c) > 0;
        if (lib.get_reg(&c, UNW_X86_64_RIP, &ip) < 0)
            return;
        ip -= !exact && !trampoline;
        const struct module_range *r = walk_is_code(ip) ? module_range_find(ip) : NULL;
        if (w->seen && !r)
            return;
        if (w->seen == MAX_STEPS)
            return;
        w->tables = r && r->module && r->module->pinned ? r->module : NULL;
        walk_add(w, trampoline ? frame_special(FRAME_SIGNAL) : ip);
        exact = trampoline;
        int more = lib.step(&c);
        if (more <= 0) {
            w->end = more == 0 ? WALK_ROOT : WALK_CUT;
            return;
        }
    }
}

const struct unwinder unwind_libunwind = {
    .name = "libunwind", .load = libunwind_load, .walk = libunwind_walk, .reset = libunwind_reset};
