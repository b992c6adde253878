/* Three coroutines of boost.context on stacks of their own, each burning CPU below two functions,
 * one of them throwing and catching; main hops from one to the next. */
#include <boost/context/fiber.hpp>
#include <cstdio>
#include <ctime>
#include <stdexcept>

namespace ctx = boost::context;

static volatile unsigned long sink;

static double cpu_ms() {
    timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

extern "C" __attribute__((noinline)) void fiber_work(double ms) {
    for (double end = cpu_ms() + ms; cpu_ms() < end;)
        for (int i = 0; i < 1000; i++)
            sink = sink + i;
    __asm__ volatile("");
}

extern "C" __attribute__((noinline)) void fiber_throws(double ms) {
    for (double end = cpu_ms() + ms; cpu_ms() < end;) {
        try {
            fiber_work(0.5);
            throw std::runtime_error("on a fiber");
        } catch (const std::exception &) {
            sink = sink + 1;
        }
    }
}

static ctx::fiber make(void (*work)(double)) {
    return ctx::fiber([work](ctx::fiber &&back) {
        for (int i = 0; i < 20; i++) {
            work(5);
            back = std::move(back).resume();
        }
        return std::move(back);
    });
}

int main() {
    ctx::fiber fibers[] = {make(fiber_work), make(fiber_throws), make(fiber_work)};
    int turns = 0;
    for (int i = 0; i < 20; i++)
        for (ctx::fiber &f : fibers)
            if (f) {
                f = std::move(f).resume();
                turns++;
            }
    /* And as often as the processor can. */
    ctx::fiber hop([](ctx::fiber &&back) {
        for (double end = cpu_ms() + 200; cpu_ms() < end;)
            for (int i = 0; i < 100; i++)
                back = std::move(back).resume();
        return std::move(back);
    });
    while (hop)
        hop = std::move(hop).resume();
    std::printf("%d turns\n", turns);
    return 0;
}
