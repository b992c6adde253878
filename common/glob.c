#include "common/glob.h"

#include <string.h>

/* One [set] at p (behind the bracket): its length with the closing bracket, or 0 when there is
 * none. */
static size_t glob_set(const char *p, size_t n, char c, bool *ret_match) {
    bool match = false;
    size_t i = 0;
    bool not = n > 0 && (p[0] == '!' || p[0] == '^');
    for (i = not ; i < n && (p[i] != ']' || i == (size_t) not ); i++) {
        if (i + 2 < n && p[i + 1] == '-' && p[i + 2] != ']') {
            match |= p[i] <= c && c <= p[i + 2];
            i += 2;
        } else
            match |= p[i] == c;
    }
    *ret_match = match != not ;
    return i < n ? i + 1 : 0;
}

/* How many bytes of the pattern match the character c: 0 is a mismatch. */
static size_t glob_one(const char *p, size_t n, char c) {
    bool match;
    size_t set;
    if (p[0] == '[' && (set = glob_set(p + 1, n - 1, c, &match)))
        return match ? set + 1 : 0;
    return p[0] == '?' || p[0] == c;
}

/* A mismatch goes back to the last star only, hence at most strlen(name) * n steps. */
bool glob_match(const char *pattern, size_t n, const char *name) {
    size_t p = 0, star = n, retry = 0, i = 0;
    while (name[i]) {
        size_t step;
        if (p < n && pattern[p] == '*') {
            star = p++;
            retry = i;
        } else if (p < n && (step = glob_one(pattern + p, n - p, name[i]))) {
            p += step;
            i++;
        } else if (star < n) {
            p = star + 1;
            i = ++retry;
        } else
            return false;
    }
    while (p < n && pattern[p] == '*')
        p++;
    return p == n;
}
