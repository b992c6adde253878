#include "symbols/wanted.h"

#include <stdbool.h>

static bool less(const struct wanted *a, const struct wanted *b) {
    return a->file != b->file ? a->file < b->file : a->at < b->at;
}

/* Sinks w[i] until no child is greater. */
static void sift(struct wanted *w, size_t i, size_t n) {
    struct wanted sinking = w[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && less(&w[child], &w[child + 1]))
            child++;
        if (!less(&sinking, &w[child]))
            break;
        w[i] = w[child];
    }
    w[i] = sinking;
}

void wanted_sort(struct wanted *w, size_t n) {
    for (size_t i = n / 2; i-- > 0;)
        sift(w, i, n);
    for (size_t last = n; last-- > 1;) {
        struct wanted greatest = w[0];
        w[0] = w[last];
        w[last] = greatest;
        sift(w, 0, last);
    }
}
