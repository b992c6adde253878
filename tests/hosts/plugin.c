/* A library that comes and goes. */
void plugin_work(long n);
void plugin_work(long n) {
    for (volatile long i = 0; i < n; i++)
        ;
}
