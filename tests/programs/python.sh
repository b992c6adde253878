#!/bin/sh
# A hot loop in four threads, sub-processes, and sorting.
. "$(dirname "$0")/common.sh"
cat >hot.py <<'PY'
import os, subprocess, sys, threading
def hot(n, out, i):
    total = 0
    for k in range(n):
        total += (k * k) % 7
    out[i] = total
out = [0] * 4
threads = [threading.Thread(target=hot, args=(2000000, out, i)) for i in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
open("warm", "w").close()
while not os.path.exists("enough"):
    hot(20000, [0], 0)
hot(4000000, [0], 0)
print(out, sum(sorted(range(500000), key=lambda v: -v)[:10]))
print(subprocess.run(["echo", "from a child"], capture_output=True).stdout)
sys.exit(3)
PY
start python3 hot.py &
program=$!
dump_when_warm "$program"
status=0
wait "$program" || status=$?
echo "python ended with $status"
