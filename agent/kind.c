/* CALM. */
#include "agent/kind.h"

#include "agent/agent.h"

#define KIND(name, unit, rate, on, exit, windowed, ptype, punit, main, impl, ...) impl
#define KIND_ROW(...)                                                             KIND(__VA_ARGS__)

#define BUILT(impl) extern const struct kind impl;
#define NOT_BUILT
KINDS(KIND_ROW)
#undef BUILT
#undef NOT_BUILT
#undef KIND

#define KIND(name, unit, rate, on, exit, windowed, ptype, punit, main, impl, ...) \
    [KIND_##name] = impl,
#define BUILT(impl) &impl
#define NOT_BUILT   NULL
const struct kind *const kinds[KIND_COUNT] = {KINDS(KIND_ROW)};

void kinds_thread_begin(struct thread *t) {
    for (unsigned id = 0; id < KIND_COUNT; id++)
        if (agent.options.kinds[id].on && kinds[id] && kinds[id]->thread_begin)
            kinds[id]->thread_begin(t);
}

void kinds_thread_end(struct thread *t) {
    for (unsigned id = 0; id < KIND_COUNT; id++)
        if (agent.options.kinds[id].on && kinds[id] && kinds[id]->thread_end)
            kinds[id]->thread_end(t);
}
