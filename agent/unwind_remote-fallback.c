/* ANYWHERE. Where only frame pointers are an engine, a thread without its frame pointer shows where
 * it sleeps and nothing more. */
#include "agent/unwind.h"

void walk_remote(struct walk *w) {
    walk_add(w, w->pc);
    w->end = WALK_NO_RULE;
}
