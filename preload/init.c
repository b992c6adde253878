/*
 * CALM. Load and exit, and the public functions of include/cprof.h.
 */
#include <dlfcn.h>
#include <sys/auxv.h>

#include "agent/agent.h"
#include "agent/dump.h"
#include "agent/self.h"
#include "preload/doors.h"
#include "preload/provider.h"
#include "preload/real.h"

/* Of include/cprof.h, which applications include without linking us. */
int cprof_dump(void) __attribute__((visibility("default")));
const char *cprof_version(void) __attribute__((visibility("default")));

/*
 * Preloaded twice (two paths to one file, two versions): the first in line works, the others are
 * only doors. Two at work would undo each other's signal masks. RTLD_DEFAULT would not do: linked
 * with -Bsymbolic, each of us finds itself there first.
 */
static bool first_of_us(void) {
    self_enter();
    void *program = dlopen(NULL, RTLD_LAZY);
    void *first = program ? dlsym(program, "cprof_version") : NULL;
    if (program)
        dlclose(program);
    self_leave();
    return !first || first == (void *)cprof_version;
}

/* A program with more rights than its caller must not follow the caller's environment: nothing is
 * read. */
static __attribute__((constructor)) void load(int argc, char **argv, char **envp) {
    real_resolve();
    if (getauxval(AT_SECURE) != 0 || !first_of_us())
        return;
    real_find_operators();
    provider_find();
    agent_start(envp);
    self_enter();
    real_forget_errors();
    self_leave();
    doors_write(agent.options.off);
    agent_work();
}

static __attribute__((destructor)) void unload(void) { agent_exit(); }

int cprof_dump(void) { return agent_on() ? dump_now(DUMP_SIGNAL) : 0; }

const char *cprof_version(void) { return CPROF_VERSION; }
