#!/bin/sh
# gil.sh [TRACER...]: four Python threads that take turns by the interpreter's lock. With STRACE=file the futex calls
# of the same run are traced into it, with what each took.
. "$(dirname "$0")/common.sh"
cat >gil.py <<'PY'
import threading
def contended_work(n, out, i):
    total = 0
    for k in range(n):
        total += (k * k) % 7
    out[i] = total
out = [0] * 4
threads = [threading.Thread(target=contended_work, args=(800000, out, i)) for i in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print(out)
PY
if [ -n "${STRACE:-}" ]; then
    strace -f -q -T -e trace=futex -e signal=none -o "$STRACE" ${PRELOAD:+-E LD_PRELOAD="$PRELOAD"} python3 gil.py
else
    agent python3 gil.py
fi
echo "python ended with $?"
