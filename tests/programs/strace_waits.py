#!/usr/bin/env python3
"""strace_waits.py FILE: nanoseconds that all the futex waits in the output of `strace -f -T` took."""
import re
import sys

total = 0.0
waiting = set()
for line in open(sys.argv[1], errors="replace"):
    thread = line.split(None, 1)[0]
    if "resumed>" not in line:
        waiting.discard(thread)
        if "FUTEX_WAIT" in line or "FUTEX_LOCK_PI" in line:
            waiting.add(thread)
    took = re.search(r"<(\d+\.\d+)>$", line.strip())
    if took and thread in waiting:
        total += float(took.group(1))
        waiting.discard(thread)
print(int(total * 1e9))
