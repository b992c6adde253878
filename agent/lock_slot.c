/* ANYWHERE. */
#include "agent/lock_slot.h"

void lock_slot_set(struct lock_slot *s, const struct lock_wait_info *info) {
    unsigned seq = atomic_load_explicit(&s->seq, memory_order_relaxed);
    atomic_store_explicit(&s->seq, seq + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    __atomic_store_n(&s->info.object, info->object, __ATOMIC_RELAXED);
    __atomic_store_n(&s->info.since_ns, info->since_ns, __ATOMIC_RELAXED);
    __atomic_store_n(&s->info.context, info->context, __ATOMIC_RELAXED);
    __atomic_store_n(&s->info.owner, info->owner, __ATOMIC_RELAXED);
    __atomic_store_n(&s->info.kind, info->kind, __ATOMIC_RELAXED);
    atomic_store_explicit(&s->seq, seq + 2, memory_order_release);
}

bool lock_slot_get(struct lock_slot *s, struct lock_wait_info *ret_info, unsigned *ret_seq) {
    unsigned seq = atomic_load_explicit(&s->seq, memory_order_acquire);
    ret_info->object = __atomic_load_n(&s->info.object, __ATOMIC_RELAXED);
    ret_info->since_ns = __atomic_load_n(&s->info.since_ns, __ATOMIC_RELAXED);
    ret_info->context = __atomic_load_n(&s->info.context, __ATOMIC_RELAXED);
    ret_info->owner = __atomic_load_n(&s->info.owner, __ATOMIC_RELAXED);
    ret_info->kind = __atomic_load_n(&s->info.kind, __ATOMIC_RELAXED);
    *ret_seq = seq;
    return seq % 2 == 0 && ret_info->object && lock_slot_unchanged(s, seq);
}

bool lock_slot_unchanged(struct lock_slot *s, unsigned seq) {
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&s->seq, memory_order_relaxed) == seq;
}
