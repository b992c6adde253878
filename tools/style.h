#pragma once
/* Bold headings for people: empty text unless standard output is a terminal and NO_COLOR is unset.
 */

const char *style_bold(void);
const char *style_plain(void);
