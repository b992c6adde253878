// Everything at once that has ever made a profiler hang: 64 threads that throw and catch
// exceptions, two that open and close libraries, four that allocate and free each other's blocks.
// soak SECONDS FOLDER; it prints what it did and ends with 0 if every exception arrived where it
// should, as it was.
#include <dlfcn.h>
#include <time.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "library.h"

namespace {

enum { THROWERS = 64, OPENERS = 2, LIBRARIES_EACH = 3, STORMERS = 4, LEVELS = 12, EXCHANGE = 256 };

struct count {
    std::atomic<long> thrown{0}, caught{0}, opened{0}, allocated{0}, wrong{0};
};

struct mishap : std::runtime_error {
    long n;
    explicit mishap(long n) : std::runtime_error("mishap " + std::to_string(n)), n(n) {}
};

std::atomic<bool> over;
std::atomic<void *> exchange[EXCHANGE];
count counts;

__attribute__((noinline)) void throw_one(long n) {
    if (n < 0)
        return; // never, but the compiler does not know
    counts.thrown.fetch_add(1, std::memory_order_relaxed);
    if (n % 3 == 0)
        throw n;
    throw mishap(n);
}

// Frames with something to destroy, and some that catch and throw again.
__attribute__((noinline)) void descend(long n, int levels) {
    std::string held(static_cast<size_t>(levels) * 5, 'x');
    if (levels == 0)
        return throw_one(n);
    if (levels % 5 != 4)
        return descend(n, levels - 1);
    try {
        descend(n, levels - 1);
    } catch (const std::exception &) {
        if (held.size() != static_cast<size_t>(levels) * 5)
            counts.wrong++;
        throw;
    }
}

struct request {
    long n;
};

// Through libc's frames as well.
int compare(const void *a, const void *) {
    descend(static_cast<const request *>(a)->n, 2);
    return 0;
}

void through_qsort(long n) {
    request two[2] = {{n}, {n}};
    qsort(two, 2, sizeof two[0], compare);
}

bool arrives(long n) {
    try {
        if (n % 7 == 0)
            through_qsort(n);
        else
            descend(n, static_cast<int>(n % LEVELS));
    } catch (const mishap &m) {
        return n % 3 != 0 && m.n == n && m.what() == "mishap " + std::to_string(n);
    } catch (long m) {
        return n % 3 == 0 && m == n;
    }
    return false;
}

void throw_and_catch(long first) {
    for (long n = first; !over; n += THROWERS) {
        if (arrives(n))
            counts.caught.fetch_add(1, std::memory_order_relaxed);
        else
            counts.wrong++;
    }
}

long throw_back(long n) {
    throw_one(n);
    return 0;
}

void open_and_close(const std::string &path, long n) {
    void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    auto work =
        library
            ? reinterpret_cast<decltype(&soak_library_work)>(dlsym(library, "soak_library_work"))
            : nullptr;
    if (!work) {
        std::fprintf(stderr, "%s\n", dlerror());
        counts.wrong++;
        return;
    }
    try {
        work(throw_back, n);
        counts.wrong++;
    } catch (const mishap &m) {
        counts.caught += m.n == n;
    } catch (long m) {
        counts.caught += m == n;
    }
    dlclose(library);
    // Each opener has libraries of its own, so that it must be gone.
    if (dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD))
        counts.wrong++;
    counts.opened++;
}

void open_in_a_loop(const std::string &folder, int opener) {
    for (long n = 0; !over; n++) {
        long which = opener * LIBRARIES_EACH + n % LIBRARIES_EACH;
        open_and_close(folder + "/soak_library_" + std::to_string(which) + ".so", n);
    }
}

// A block of n bytes that says so at both ends.
void *block_new(unsigned seed, size_t n) {
    void *p = nullptr;
    switch (seed % 4) {
    case 0: p = malloc(n); break;
    case 1: p = calloc(1, n); break;
    case 2: p = realloc(malloc(n / 2 + 1), n); break;
    default: p = aligned_alloc(64, (n + 63) / 64 * 64); break;
    }
    std::memcpy(p, &n, sizeof n);
    static_cast<char *>(p)[n - 1] = 'e';
    return p;
}

void block_free(void *p) {
    size_t n;
    if (!p)
        return;
    std::memcpy(&n, p, sizeof n);
    if (static_cast<char *>(p)[n - 1] != 'e')
        counts.wrong++;
    free(p);
}

void storm(unsigned seed) {
    while (!over) {
        for (int i = 0; i < 1000; i++) {
            seed = seed * 1664525 + 1013904223;
            size_t n = 16 + ((seed >> 8) & (seed % 64 == 0 ? 0xffff : 0x3ff));
            block_free(exchange[(seed >> 20) % EXCHANGE].exchange(block_new(seed >> 4, n)));
        }
        counts.allocated += 1000;
    }
}

void sleep_until_the_end(long seconds) {
    timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += seconds;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, nullptr) != 0) {
    }
    over = true;
}

} // namespace

int main(int argc, char **argv) {
    std::vector<std::thread> threads;
    if (argc != 3) {
        std::fprintf(stderr, "soak SECONDS FOLDER\n");
        return 2;
    }
    for (long i = 0; i < THROWERS; i++)
        threads.emplace_back(throw_and_catch, i);
    for (int i = 0; i < OPENERS; i++)
        threads.emplace_back(open_in_a_loop, std::string(argv[2]), i);
    for (unsigned i = 0; i < STORMERS; i++)
        threads.emplace_back(storm, i);
    sleep_until_the_end(atol(argv[1]));
    for (std::thread &t : threads)
        t.join();
    for (std::atomic<void *> &p : exchange)
        block_free(p.exchange(nullptr));
    std::printf("exceptions thrown %ld caught %ld libraries opened %ld blocks %ld wrong %ld\n",
                counts.thrown.load(), counts.caught.load(), counts.opened.load(),
                counts.allocated.load(), counts.wrong.load());
    return counts.thrown == counts.caught && counts.caught && counts.opened && counts.allocated &&
                   !counts.wrong
               ? 0
               : 1;
}
