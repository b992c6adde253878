#pragma once
/* ANYWHERE. What one can wait for, by the word in the label `kind`, and how a wait ended, by the
 * word in the label `state`. */

/* LOCK_KIND(identifier, word, family): waits of a family raise one flag, so that the doors that
 * let go look at one byte each (hot_lock.h). */
#define LOCK_KINDS(LOCK_KIND)                       \
    LOCK_KIND(MUTEX, "mutex", MUTEX)                \
    LOCK_KIND(RWLOCK_READ, "rwlock-read", RWLOCK)   \
    LOCK_KIND(RWLOCK_WRITE, "rwlock-write", RWLOCK) \
    LOCK_KIND(SPIN, "spin", SPIN)                   \
    LOCK_KIND(SEM, "sem", SEM)                      \
    LOCK_KIND(FUTEX, "futex", FUTEX)                \
    LOCK_KIND(COND, "cond", COND)                   \
    LOCK_KIND(BARRIER, "barrier", NOBODY)           \
    LOCK_KIND(ONCE, "once", NOBODY)                 \
    LOCK_KIND(JOIN, "join", NOBODY)

#define LOCK_KIND(name, word, family) LOCK_##name,
enum lock_kind { LOCK_KINDS(LOCK_KIND) LOCK_KIND_COUNT };
#undef LOCK_KIND

/* Of NOBODY no door lets go. */
enum lock_family {
    FAMILY_MUTEX,
    FAMILY_RWLOCK,
    FAMILY_SPIN,
    FAMILY_SEM,
    FAMILY_FUTEX,
    FAMILY_COND,
    FAMILY_NOBODY,
    FAMILY_COUNT
};

enum lock_state { LOCK_DONE, LOCK_TIMEOUT, LOCK_WAITING, LOCK_STATE_COUNT };

extern const char *const lock_kind_words[LOCK_KIND_COUNT];
extern const char *const lock_state_words[LOCK_STATE_COUNT];
extern const enum lock_family lock_families[LOCK_KIND_COUNT];
