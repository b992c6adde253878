/*
 * Exceptions out of critical sections: throws ROUNDS [SECONDS]. Eight threads, for so many rounds
 * and then on until the time is over, leave locks by throwing, some through a wait on a condition,
 * some while others wait for what they hold. Nothing that a lock protects may be torn, and each
 * exception must arrive with what it carries.
 */
#include "host.h"

#include <condition_variable>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

enum { THROWERS = 8 };

static struct {
    std::mutex lock;
    std::recursive_timed_mutex deep;
    std::shared_mutex book;
    std::condition_variable news;
    long balance[2], thrown, caught, pages[2];
    int rounds;
    std::chrono::steady_clock::time_point end;
} state;

struct Refused : std::runtime_error {
    explicit Refused(long n) : std::runtime_error("no " + std::to_string(n)), number(n) {}
    long number;
};

/* The lock is let go of by the unwinding. */
static NOINLINE void transfer(long n) {
    std::lock_guard<std::mutex> held(state.lock);
    state.balance[0] -= n;
    std::string text(n % 200, 'x');
    state.balance[1] += n;
    if (n % 3 == 0) {
        state.thrown++;
        throw Refused(n);
    }
    state.news.notify_one();
}

/* Handlers run while an outer lock is still held. */
static NOINLINE void nested(long n) {
    std::lock_guard<std::recursive_timed_mutex> outer(state.deep);
    try {
        std::lock_guard<std::recursive_timed_mutex> inner(state.deep);
        transfer(n);
    } catch (const Refused &) {
        transfer(n + 1);
        throw;
    }
}

static NOINLINE void turn_pages(long n) {
    if (n % 8) {
        std::shared_lock<std::shared_mutex> reading(state.book);
        if (state.pages[0] != state.pages[1])
            throw std::logic_error("torn");
        if (n % 5 == 0)
            throw n;
    }
    std::unique_lock<std::shared_mutex> writing(state.book);
    state.pages[0]++;
    if (n % 7 == 0) {
        state.pages[1]++;
        throw n;
    }
    state.pages[1]++;
}

static NOINLINE void wait_and_throw(long n) {
    std::unique_lock<std::mutex> held(state.lock);
    state.news.wait_for(held, std::chrono::microseconds(100), [n] {
        if (n % 11 == 0)
            throw n; /* out of the predicate, with the lock */
        return state.balance[1] % 2 == 0;
    });
}

static NOINLINE long one_round(long n) {
    long arrived = 0;
    try {
        nested(n);
    } catch (const Refused &e) {
        CHECK(e.number == n && e.what() == "no " + std::to_string(n));
        std::lock_guard<std::mutex> held(state.lock);
        state.caught++;
    }
    for (auto step : {turn_pages, wait_and_throw})
        try {
            step(n);
        } catch (long m) {
            CHECK(m == n);
            arrived++;
        }
    return arrived;
}

static void thrower(long me) {
    for (long i = 0; i < state.rounds || std::chrono::steady_clock::now() < state.end; i++)
        one_round(i * THROWERS + me);
}

int main(int argc, char **argv) {
    state.rounds = atoi(argv[1]);
    state.end =
        std::chrono::steady_clock::now() + std::chrono::seconds(argc > 2 ? atoi(argv[2]) : 0);
    std::vector<std::thread> threads;
    for (long i = 0; i < THROWERS; i++)
        threads.emplace_back(thrower, i);
    for (auto &t : threads)
        t.join();
    CHECK(state.balance[0] + state.balance[1] == 0 && state.pages[0] == state.pages[1]);
    CHECK(state.thrown == state.caught && state.thrown > 0);
    dprintf(1, "thrown and caught\n");
    return host_failed;
}
