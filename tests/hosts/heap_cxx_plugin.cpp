// C++ inside of a C program: new and delete, containers, exceptions.
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

static void *volatile sink;

// Names that nobody has to demangle.
extern "C" {
static __attribute__((noinline)) void leak_array() {
    sink = new int[250];
}

static __attribute__((noinline)) void no_leak() {
    char *p = new char[1000];
    sink = p;
    delete[] p;
}
}

static __attribute__((noinline)) long thrown(long i) {
    try {
        throw std::runtime_error(std::string(50, 'x') + std::to_string(i));
    } catch (const std::exception &e) {
        return static_cast<long>(std::string(e.what()).size());
    }
}

extern "C" long plugin_cxx(long n) {
    std::map<long, std::string> map;
    std::vector<long> vector;
    long sum = 0;
    for (long i = 0; i < n; i++) {
        leak_array();
        no_leak();
        map[i * 7919 % n] = std::to_string(i) + " is a string of some length";
        vector.push_back(i);
        sum += thrown(i);
    }
    for (const auto &entry : map)
        sum += static_cast<long>(entry.second.size());
    return sum + static_cast<long>(vector.size());
}
