#include "tools/style.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* no-color.org: any value but the empty one counts. */
static bool wanted(void) {
    const char *no = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    return isatty(1) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

const char *style_bold(void) { return wanted() ? "\033[1m" : ""; }

const char *style_plain(void) { return wanted() ? "\033[0m" : ""; }
