/* WORK is swap_a or swap_b. */
void WORK(long n);
void WORK(long n) {
    for (volatile long i = 0; i < n; i++)
        ;
}
