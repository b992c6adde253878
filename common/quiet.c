#include "common/quiet.h"

#include <signal.h>

#include "common/sys.h"

void quiet_begin(struct quiet *q) {
    const uint64_t all = ~(uint64_t)0;
    q->mask = q->pending = 0;
    sys_sigmask(SIG_SETMASK, &all, &q->mask);
    sys_call_2(SYS_rt_sigpending, &q->pending, sizeof q->pending);
}

void quiet_end(const struct quiet *q) {
    const uint64_t ours = (sys_sigbit(SIGXFSZ) | sys_sigbit(SIGPIPE)) & ~q->pending;
    const struct timespec now = {0};
    while (ours && sys_call_4(SYS_rt_sigtimedwait, &ours, NULL, &now, sizeof ours) > 0)
        ;
    sys_sigmask(SIG_SETMASK, &q->mask, NULL);
}
