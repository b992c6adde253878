#pragma once
/*
 * ANYWHERE. Writing profiles: one file per kind that is on. One dump at a time; requests that
 * arrive meanwhile are served together by one more, so two requests give two complete sets or one,
 * never a mixed one.
 */
#include <stdbool.h>

enum dump_why { DUMP_SIGNAL, DUMP_EVERY, DUMP_EXIT };

/* ANYWHERE. Asks for a set: the agent's thread writes it; without one it is written here and now,
 * or as soon as this thread leaves the agent. */
void dump_request(enum dump_why why);
/* Something was asked for and not served. */
bool dump_wanted(void);
/* Serves what was asked for. CALM, or the handler of a single-threaded host (on a stack of ours).
 */
void dump_serve(void);
/* Writes one set here and waits for a running one: the number of files, or -errno of the first
 * failure. */
int dump_now(enum dump_why why);
/* The last set of this process, at most once, after a set that is being written is whole. Any
 * thread, any handler that is not inside the agent. No other set begins afterwards. */
void dump_last(void);
/* In a fork child: numbers begin anew. */
void dump_reset(void);
