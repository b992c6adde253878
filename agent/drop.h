#pragma once
/* ANYWHERE. Everything that can be lost, by name. Each count stands in every profile's comments
 * when it is not zero. */

/* DROP(identifier, words for the comment) */
#define DROPS(DROP)                                                                               \
    DROP(TABLE_FULL, "samples moved to [other]: the agent's tables are full (CPROF_MEMORY)")      \
    DROP(NO_STACK, "samples with the leaf frame only: during a fork, or too many at once")         \
    DROP(TRUNCATED, "stacks that did not reach the thread's root")                                \
    DROP(NOT_CODE, "stacks cut at a return address outside of any code")                          \
    DROP(UNREADABLE, "stacks cut at memory that cannot be read")                                  \
    DROP(NO_RULE, "stacks cut in code with neither unwind tables nor frame pointers")             \
    DROP(ENDLESS, "stacks cut because they run in a circle or are too deep to follow")            \
    DROP(DEPTH, "stacks deeper than CPROF_DEPTH: frames in their middle are left out")            \
    DROP(TIMER, "threads without a CPU timer: timer_create was refused")                          \
    DROP(TIMER_LIMIT, "threads without a CPU timer: half of RLIMIT_SIGPENDING is in use")         \
    DROP(LIVE, "sampled blocks that count as allocated, not as in use: no memory (CPROF_MEMORY)") \
    DROP(FREE, "frees of blocks in use that could not be recorded")                               \
    DROP(WHO, "threads not told apart in CPU and lock profiles: half of CPROF_MEMORY is in use")  \
    DROP(THREAD, "threads that could not be registered")                                          \
    DROP(DUMP, "profile files that could not be written")

#define DROP(name, words) DROP_##name,
enum drop { DROPS(DROP) DROP_COUNT };
#undef DROP

extern const char *const drop_words[DROP_COUNT];
