/* ANYWHERE. */
#include "agent/lock_tag.h"

#include "common/hash.h"

static bool same(const struct link *l, const void *key) {
    const struct lock_tag *t = (const struct lock_tag *)l, *k = key;
    return t->object == k->object && t->kind == k->kind && t->state == k->state;
}

static struct link *copy(struct arena *a, const void *key) {
    const struct lock_tag *k = key;
    struct lock_tag *t = arena_alloc(a, sizeof *t);
    if (!t)
        return NULL;
    *t = *k;
    return &t->link;
}

static struct link *refuse(struct arena *a, const void *key) { return NULL; }

const struct lock_tag *lock_tag_intern(struct chains *tags, struct arena *a, uintptr_t object,
                                       enum lock_kind kind, enum lock_state state) {
    struct lock_tag key = {.object = object, .kind = (uint8_t)kind, .state = (uint8_t)state};
    bool room = atomic_load_explicit(&tags->n, memory_order_relaxed) < LOCK_TAGS_MAX;
    for (;;) {
        const uint64_t words[] = {key.object, (uint64_t)key.kind << 8 | key.state};
        struct link *l = chains_intern(tags, a, hash_words(words, 2, 0), same,
                                       room || !key.object ? copy : refuse, &key);
        if (l || room || !key.object)
            return (const struct lock_tag *)l;
        key.object = 0;
    }
}
