/* ANYWHERE. A lock keeps its address, so it is looked up once in its life. What lies on the heap or
 * on a stack has no name but its address. */
#include "agent/lock_name.h"

#include <string.h>

#include "agent/agent.h"
#include "agent/stack.h"
#include "symbols/objects.h"

enum { AT_ONCE = 128 };

struct search {
    const struct module *module;
    struct lock_tag *tags[AT_ONCE];
    struct object_wanted wanted[AT_ONCE];
    unsigned n;
};

/* "name+0x40", in the arena. */
static const char *keep(const struct object_wanted *w) {
    char buf[LOCK_NAME_MAX];
    struct text t = TEXT_ON(buf);
    text_str(&t, w->text);
    if (w->address > w->start) {
        text_str(&t, "+0x");
        text_hex(&t, w->address - w->start);
    }
    char *kept = arena_alloc(&agent.arena, t.len + 1);
    return kept ? memcpy(kept, buf, t.len + 1) : NULL;
}

static void look_up(struct search *s) {
    const struct module *m = s->module;
    struct snapshot pool = {0};
    struct snapshot_mapping file = {.path = m->path, .dev = m->dev, .inode = m->inode};
    memcpy(file.build_id, m->build_id, sizeof file.build_id);
    if (s->n && agent.options.names)
        symbols_objects(&file, s->wanted, s->n, &pool);
    for (unsigned i = 0; i < s->n; i++)
        if (s->wanted[i].text)
            s->tags[i]->name = keep(&s->wanted[i]);
    snapshot_done(&pool);
    s->n = 0;
}

static void gather(struct link *l, void *arg) {
    struct lock_tag *t = (struct lock_tag *)l;
    struct search *s = arg;
    if (t->looked_up || t->object - s->module->data_lo >= s->module->data_hi - s->module->data_lo)
        return;
    if (s->n == AT_ONCE)
        look_up(s);
    s->tags[s->n] = t;
    s->wanted[s->n++] = (struct object_wanted){.address = t->object - s->module->bias};
    t->looked_up = true;
}

static void settle(struct link *l, void *arg) { ((struct lock_tag *)l)->looked_up = true; }

static void look_up_all(struct chains *tags) {
    struct search s = {0};
    for (s.module = atomic_load(&agent.modules.newest); s.module; s.module = s.module->older) {
        chains_each(tags, gather, &s);
        look_up(&s);
    }
    chains_each(tags, settle, NULL);
}

void lock_name(struct text *t, struct chains *tags, const struct lock_tag *tag) {
    if (!tag->object) {
        text_str(t, frame_names[FRAME_OTHER]);
        return;
    }
    if (!tag->looked_up)
        look_up_all(tags);
    if (tag->name) {
        text_str(t, tag->name);
        return;
    }
    text_str(t, "0x");
    text_hex(t, tag->object);
}
