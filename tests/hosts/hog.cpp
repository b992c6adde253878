/* The hog (hog.h) with the locks of the C++ library: hog_cpp LOCK ROUNDS. */
#include "hog.h"

#include <condition_variable>
#include <mutex>
#include <shared_mutex>

static std::mutex mutex;
static void mutex_hold() { mutex.lock(); }
static void mutex_release() { mutex.unlock(); }
static void mutex_pass(int) { std::lock_guard<std::mutex> held(mutex); }

static std::recursive_timed_mutex timed;
static void timed_hold() { timed.lock(); }
static void timed_release() { timed.unlock(); }
static void timed_pass(int) {
    CHECK(timed.try_lock_for(std::chrono::hours(1)));
    timed.unlock();
}

static std::shared_mutex shared;
static void shared_hold() { shared.lock(); }
static void shared_release() { shared.unlock(); }
static void shared_pass(int victim) {
    if (victim % 2)
        std::shared_lock<std::shared_mutex> held(shared);
    else
        std::unique_lock<std::shared_mutex> held(shared);
}

static std::condition_variable all_passed;
static int guests;

static void cond_hold() {
    mutex.lock();
    guests = 0;
}

static void cond_release() {
    std::unique_lock<std::mutex> held(mutex, std::adopt_lock);
    all_passed.wait(held, [] { return guests == VICTIMS; });
}

static void cond_pass(int) {
    std::lock_guard<std::mutex> held(mutex);
    if (++guests == VICTIMS)
        all_passed.notify_one();
}

int main(int argc, char **argv) {
    static const struct hog list[] = {{"mutex", mutex_hold, mutex_release, mutex_pass},
                                      {"timed", timed_hold, timed_release, timed_pass},
                                      {"shared", shared_hold, shared_release, shared_pass},
                                      {"cond", cond_hold, cond_release, cond_pass},
                                      {}};
    return hog_main(argc, argv, list);
}
