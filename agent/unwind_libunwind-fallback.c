/* Where libunwind's generic library is not known to us: frame pointers are the engine. */
#include <errno.h>

#include "agent/unwind.h"

static int no_load(void) { return -ENOSYS; }

const struct unwinder unwind_libunwind = {.name = "libunwind", .load = no_load};
