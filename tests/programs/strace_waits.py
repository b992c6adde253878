#!/usr/bin/env python3
"""strace_waits.py FILE: nanoseconds that the futex waits in the output of `strace -f -Y -ttt -T` took.

Those of the agent's own thread are left out. A wait that never ended lasts until its thread did."""
import re
import sys

CALL = re.compile(r"^(\d+)<([^>]*)> (\d+\.\d+) (.*)$")
TOOK = re.compile(r"<(\d+\.\d+)>$")
FRAME = re.compile(r"^ > (\S+)\(([^+)]*)")


def waits(path):
    """A list of {seconds, ended, door: whether the agent is on the stack, stack: functions}; stacks are there with -k only."""
    found, began, own, last = [], {}, set(), None
    for line in open(path, encoding="utf-8", errors="replace"):
        frame, call = FRAME.match(line), CALL.match(line.rstrip())
        if frame and last:
            last["stack"].append(frame[2] or frame[1])
            last["door"] |= "/libcprof.so" in frame[1]
        if not call:
            continue
        thread, name, at, what = call[1], call[2], float(call[3]), call[4]
        if name == "cprof":
            own.add(thread)
        if re.match(r"futex\(.*FUTEX_(WAIT|LOCK_PI)", what):
            began[thread] = at
        took, last = TOOK.search(what), None
        if thread in began and (took or what.startswith("+++")):
            last = {"thread": thread, "ended": bool(took), "door": False, "stack": []}
            last["seconds"] = float(took[1]) if took else at - began[thread]
            found.append(last)
            del began[thread]
    return [w for w in found if w["thread"] not in own]


if __name__ == "__main__":
    print(int(sum(w["seconds"] for w in waits(sys.argv[1])) * 1e9))
