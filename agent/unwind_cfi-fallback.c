/* ANYWHERE. Machines whose unwind rules are not written down yet. */
#include <errno.h>

#include "agent/unwind.h"

static int no_load(void) { return -ENOSYS; }

const struct unwinder unwind_cfi = {.name = "unwind tables", .load = no_load};
