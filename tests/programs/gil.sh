#!/bin/sh
# Four Python threads that take turns by the interpreter's lock.
. "$(dirname "$0")/common.sh"
cat >gil.py <<'PY'
import threading
def contended_work(n, out, i):
    total = 0
    for k in range(n):
        total += (k * k) % 7
    out[i] = total
out = [0] * 4
threads = [threading.Thread(target=contended_work, args=(300000, out, i)) for i in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print(out)
PY
agent python3 gil.py
echo "python ended with $?"
