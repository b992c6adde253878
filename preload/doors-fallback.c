/*
 * CALM. Where nobody has written down the instructions, or the build is one for a debugger, the
 * doors stay as they are compiled.
 */
#include "preload/doors.h"

void doors_write(bool straight) {}
