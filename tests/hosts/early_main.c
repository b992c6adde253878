/* Frees, grows and measures what early.c's constructor allocated before the agent was there. */
#include "host.h"

#include <malloc.h>

extern char *early_kept[100];

BURNER(work)

static void early(int argc, char **argv) {
    for (int i = 0; i < 100; i++) {
        CHECK(malloc_usable_size(early_kept[i]) >= 900 && early_kept[i][0] == 'e');
        if (i % 2)
            CHECK((early_kept[i] = realloc(early_kept[i], 100000)) && early_kept[i][0] == 'e');
        free(early_kept[i]);
    }
    work(200);
}

int main(int argc, char **argv) {
    static const struct scenario list[] = {{"early", early}, {0}};
    return host_main(argc, argv, list);
}
