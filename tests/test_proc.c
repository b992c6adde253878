#include "agent/proc.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static void count(pid_t tid, void *arg) { *(int *)arg += tid == gettid(); }

Test(proc, the_calling_thread_is_listed_once) {
    int n = 0;
    proc_each_thread(count, &n);
    cr_assert_eq(n, 1);
}

Test(proc, a_thread_that_never_was_does_not_exist) {
    cr_assert(proc_thread_exists(gettid()));
    cr_assert_not(proc_thread_exists(0x3fffffff));
}

Test(proc, names_of_15_bytes_arrive_whole) {
    char name[16] = "";
    prctl(PR_SET_NAME, "fifteen_letters");
    proc_thread_name(gettid(), name);
    cr_assert_str_eq(name, "fifteen_letters");
}

static void find_main(const struct proc_map *m, void *arg) {
    uintptr_t pc = (uintptr_t)&proc_each_map;
    if (m->exec && pc >= m->start && pc < m->end && strstr(m->path, "test_proc"))
        *(int *)arg += 1;
}

Test(proc, maps_hold_our_own_code_once) {
    int n = 0;
    cr_assert_eq(proc_each_map(find_main, &n), 0);
    cr_assert_eq(n, 1);
}

Test(proc, status_numbers_are_read_by_name) {
    cr_assert_eq(proc_status("Pid", 0), (uint64_t)getpid());
    cr_assert_eq(proc_status("NoSuchLine", 42), 42);
}

Test(proc, without_descriptors_nothing_is_found_and_nothing_breaks) {
    struct rlimit none = {0, 0}, before;
    int n = 0;
    getrlimit(RLIMIT_NOFILE, &before);
    none.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_NOFILE, &none);
    proc_each_thread(count, &n);
    int maps = proc_each_map(find_main, &n);
    uint64_t pid = proc_status("Pid", 7);
    setrlimit(RLIMIT_NOFILE, &before);
    cr_assert_eq(n, 0);
    cr_assert_lt(maps, 0);
    cr_assert_eq(pid, 7);
}
