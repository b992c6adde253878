// Every form of new and delete, from sites of their own: heap_cxx N. Half of each site's blocks stay.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

static void *volatile sink;
static int wrong;

#define CHECK(good) \
    do { \
        if (!(good)) { \
            std::fprintf(stderr, "line %d: not so: %s\n", __LINE__, #good); \
            wrong = 1; \
        } \
    } while (0)
#define SITE(name, call) \
    static __attribute__((noinline)) void *name() { \
        void *p = call; \
        sink = p; \
        return p; \
    }

enum { SIZE = 400 };
constexpr auto line = std::align_val_t{128};

SITE(by_new, ::operator new(SIZE))
SITE(by_new_array, ::operator new[](SIZE))
SITE(by_new_nothrow, ::operator new(SIZE, std::nothrow))
SITE(by_new_array_nothrow, ::operator new[](SIZE, std::nothrow))
SITE(by_new_aligned, ::operator new(SIZE, line))
SITE(by_new_array_aligned, ::operator new[](SIZE, line))
SITE(by_new_aligned_nothrow, ::operator new(SIZE, line, std::nothrow))
SITE(by_new_array_aligned_nothrow, ::operator new[](SIZE, line, std::nothrow))
SITE(by_malloc, std::malloc(SIZE))

static void give_back(int form, void *p, long i) {
    switch (form) {
    case 0: return i % 3 ? ::operator delete(p) : ::operator delete(p, std::size_t{SIZE});
    case 1: return i % 3 ? ::operator delete[](p) : ::operator delete[](p, std::size_t{SIZE});
    case 2: return ::operator delete(p, std::nothrow);
    case 3: return ::operator delete[](p, std::nothrow);
    case 4: return i % 3 ? ::operator delete(p, line) : ::operator delete(p, std::size_t{SIZE}, line);
    case 5: return i % 3 ? ::operator delete[](p, line) : ::operator delete[](p, std::size_t{SIZE}, line);
    case 6: return ::operator delete(p, line, std::nothrow);
    case 7: return ::operator delete[](p, line, std::nothrow);
    default: return std::free(p);
    }
}

static int handled;
static volatile std::size_t too_much = std::size_t{1} << 46;

static void new_handler() {
    if (++handled == 3)
        std::set_new_handler(nullptr);
}

// An impossible size throws, through our doors, after asking the program's handler. (Not so in allocators
// that were built as C; what counts is that it is the same with and without us.)
static void refused() {
    std::set_new_handler(new_handler);
    bool thrown = false;
    try {
        sink = ::operator new(too_much);
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    CHECK(::operator new(too_much, std::nothrow) == nullptr);
    std::printf("thrown: %d, handler ran %d times\n", thrown, handled);
}

// Nobody's own code allocates here.
static __attribute__((noinline)) long containers(long n) {
    std::unordered_map<std::string, std::vector<std::unique_ptr<long>>> map;
    for (long i = 0; i < n; i++)
        map["a key that is long enough " + std::to_string(i % 100)].push_back(std::make_unique<long>(i));
    long sum = 0;
    for (auto &entry : map)
        for (auto &p : entry.second)
            sum += *p;
    return sum;
}

int main(int argc, char **argv) {
    void *(*const forms[])() = {by_new, by_new_array, by_new_nothrow, by_new_array_nothrow, by_new_aligned,
                                by_new_array_aligned, by_new_aligned_nothrow, by_new_array_aligned_nothrow, by_malloc};
    long n = argc > 1 ? std::atol(argv[1]) : 100;
    for (int form = 0; form < 9; form++)
        for (long i = 0; i < n; i++) {
            void *p = forms[form]();
            CHECK(p && (form < 4 || form > 7 || reinterpret_cast<std::uintptr_t>(p) % 128 == 0));
            if (i % 2)
                give_back(form, p, i);
        }
    long sum = 0;
    std::thread([&] { sum = containers(20 * n); }).join();
    std::printf("%ld\n", sum);
    refused();
    return wrong;
}
