/* Statically linked: no preload reaches it, nothing may be said about that. */
#include <stdio.h>

int main(void) {
    for (volatile long i = 0; i < 50000000; i++)
        ;
    puts("static and well");
    return 0;
}
