// Built several times, with frames of different sizes (SOAK_ROOM), so that one library at another's
// address has other rules.
#include "library.h"

namespace {

struct failure {
    long n;
};

// Destroyed on the way of every exception.
struct guard {
    volatile char room[SOAK_ROOM];
    explicit guard(long n) { room[n % SOAK_ROOM] = 1; }
    ~guard() { room[0] = 0; }
};

__attribute__((noinline)) long burn(long n) {
    volatile long sum = 0;
    for (long i = 0; i < 2000 + SOAK_ROOM; i++)
        sum = sum + i * n;
    return sum;
}

__attribute__((noinline)) long fail(long n) {
    guard g(n);
    if (g.room[n % SOAK_ROOM])
        throw failure{n};
    return n;
}

__attribute__((noinline)) long deeper(long (*back)(long), long n, int levels) {
    guard g(n);
    return levels ? deeper(back, n, levels - 1) + g.room[0] : back(n);
}

} // namespace

extern "C" long soak_library_work(long (*back)(long), long n) {
    burn(n);
    try {
        fail(n);
    } catch (const failure &f) {
        if (f.n != n)
            return -1;
    }
    return deeper(back, n, 3);
}
