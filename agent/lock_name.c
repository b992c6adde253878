/* ANYWHERE. */
#include "agent/lock_name.h"

#include "agent/stack.h"

void lock_name(struct text *t, uintptr_t object) {
    if (!object) {
        text_str(t, frame_names[FRAME_OTHER]);
        return;
    }
    text_str(t, "0x");
    text_hex(t, object);
}
