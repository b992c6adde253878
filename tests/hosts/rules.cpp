/*
 * What C++ programs rely upon: rules_cpp single|multi prints a transcript that is the same with and
 * without the agent. Cancellation runs destructors through our frames, and so do exceptions.
 */
#include "rules.h"

#include <condition_variable>
#include <cxxabi.h>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>

static std::mutex m;
static std::condition_variable c;
static bool go;

struct Tale {
    const char *what;
    ~Tale() { say("  %s goes", what); }
};

/* The forced unwinding of a cancellation passes catch (...), which must let it go on. */
static int cancelled_wait() {
    Tale outer{"outer"};
    try {
        std::unique_lock<std::mutex> held(m);
        Tale inner{"inner"};
        for (;;)
            pthread_cond_wait(c.native_handle(), m.native_handle());
    } catch (abi::__forced_unwind &) {
        say("  unwinding");
        throw;
    }
    return 0;
}

static int cancelled_join() {
    Tale outer{"joiner"};
    for (;;)
        pause();
    return 0;
}

static void cancellation() {
    struct helper *h = helper_blocked(cancelled_wait);
    CHECK(pthread_cancel(h->thread) == 0);
    SAY(helper_answer(h));
    say("  free again: %d", m.try_lock());
    m.unlock();
    h = helper_blocked(cancelled_join);
    CHECK(pthread_cancel(h->thread) == 0);
    SAY(helper_answer(h));
}

static std::once_flag flag;
static int attempts;

/* The first attempts throw through call_once: the next one tries again. */
static void attempt() {
    if (++attempts < 3)
        throw std::runtime_error("not yet");
}

static int try_once() {
    try {
        std::call_once(flag, attempt);
    } catch (std::runtime_error &e) {
        say("  %s", e.what());
        return EAGAIN;
    }
    return 0;
}

static void once_that_throws() {
    SAY(try_once());
    SAY(elsewhere(try_once));
    SAY(try_once());
    SAY(try_once());
    say("  %d attempts", attempts);
}

/* Exceptions fly while locks are held, waited for and released on the way. */
static std::shared_mutex shared;
static int depth_of(int n) {
    std::lock_guard<std::mutex> held(m);
    if (n % 3 == 0)
        throw n;
    return n;
}

static int throw_about() {
    int caught = 0;
    for (int i = 0; i < 2000; i++)
        try {
            std::shared_lock<std::shared_mutex> reading(shared);
            caught += depth_of(i) < 0;
        } catch (int) {
            std::unique_lock<std::shared_mutex> writing(shared);
            caught++;
        }
    return caught == 667 ? 0 : EINVAL;
}

static void contended_exceptions() {
    struct helper *h[8];
    for (struct helper *&one : h)
        one = helper_start(throw_about);
    for (struct helper *one : h)
        SAY(helper_answer(one));
}

static int wait_for_go() {
    std::unique_lock<std::mutex> held(m);
    return c.wait_for(held, std::chrono::hours(1), [] { return go; }) ? 0 : ETIMEDOUT;
}

static int wait_in_vain() {
    std::unique_lock<std::mutex> held(m);
    return c.wait_for(held, std::chrono::milliseconds(5)) == std::cv_status::timeout ? ETIMEDOUT
                                                                                     : 0;
}

static void conditions() {
    SAY(elsewhere(wait_in_vain));
    struct helper *h = helper_blocked(wait_for_go);
    {
        std::lock_guard<std::mutex> held(m);
        go = true;
    }
    c.notify_all();
    SAY(helper_answer(h));
}

int main(int argc, char **argv) {
    static const struct rule list[] = {{"cancellation", cancellation},
                                       {"once_that_throws", once_that_throws},
                                       {"contended_exceptions", contended_exceptions},
                                       {"conditions", conditions},
                                       {}};
    return rules_main(argc, argv, list);
}
