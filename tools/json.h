#pragma once
/* A JSON string on standard output, quotes included. Text of a snapshot is valid UTF-8 already. */

void json_string(const char *s);
