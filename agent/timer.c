#include "agent/timer.h"

#include <signal.h>
#include <string.h>

#include "common/sys.h"

int timer_make(pid_t tid, int signal, void *value) {
    struct sigevent ev;
    memset(&ev, 0, sizeof ev);
    ev.sigev_notify = SIGEV_THREAD_ID;
    ev.sigev_signo = signal;
    ev.sigev_value.sival_ptr = value;
    ev._sigev_un._tid = tid;
    int id = -1;
    long err = sys_call_3(SYS_timer_create, sys_thread_clock(tid), &ev, &id);
    return err < 0 ? (int)err : id;
}

static struct timespec of_ns(uint64_t ns) {
    return (struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
}

int timer_arm(int id, uint64_t first_ns, uint64_t period_ns) {
    const struct itimerspec when = {.it_value = of_ns(first_ns), .it_interval = of_ns(period_ns)};
    return (int)sys_call_4(SYS_timer_settime, id, 0, &when, NULL);
}

void timer_drop(int id) { sys_call_1(SYS_timer_delete, id); }
