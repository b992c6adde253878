// Exceptions through four frames, virtual calls, and standard containers between them.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

struct shape {
    virtual ~shape() {}
    virtual int area(int n) const = 0;
};

struct square : shape {
    int area(int n) const override {
        if (n % 31 == 0)
            throw std::runtime_error("thirty-one");
        return n * n;
    }
};

struct tree : shape {
    std::map<std::string, int> names;
    int area(int n) const override {
        std::map<std::string, int> copy(names);
        copy[std::to_string(n)] = n;
        return static_cast<int>(copy.size());
    }
};

static __attribute__((noinline)) int measure(const std::vector<shape *> &all, int n) {
    int sum = 0;
    for (const shape *s : all)
        sum += s->area(n);
    return sum;
}

static __attribute__((noinline)) int guarded(const std::vector<shape *> &all, int n) {
    try {
        return measure(all, n);
    } catch (const std::runtime_error &e) {
        return e.what()[0];
    }
}

int main(int argc, char **argv) {
    std::vector<shape *> all;
    tree *t = new tree;
    for (int i = 0; i < 8; i++)
        t->names[std::to_string(i * 1000)] = i;
    all.push_back(t);
    all.push_back(new square);
    long sum = 0;
    for (int i = 0; i < (argc > 1 ? atoi(argv[1]) : 1000000); i++)
        sum += guarded(all, i);
    std::printf("%ld\n", sum);
}
