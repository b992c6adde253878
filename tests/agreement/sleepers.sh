#!/bin/sh
# Threads that sleep, walked from outside, in programs of many kinds; the truth is the walk in a signal handler that then
# interrupts them there (sleepers.c):
#
#     sh tests/agreement/sleepers.sh BUILD [FOLDER]
#
# FOLDER keeps one file per program, with every place where the two parted. One that is not installed is left out aloud.
set -u
build=$(cd "$1" && pwd)
folder=${2:-$(mktemp -d)}
mkdir -p "$folder"
judge=$build/tests/libsleepers.so
cd "$folder" || exit 2
rm -f ./*.txt

# judged LABEL COMMAND...
judged() {
    label=$1
    shift
    command -v "$1" >/dev/null || { echo "$label: no $1 here" >&2; return; }
    env SLEEPERS="$folder/$label.txt" LD_PRELOAD="$judge" "$@" >"$label.out" 2>&1
}

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

redis() {
    at=$(port)
    judged redis redis-server --port "$at" --bind 127.0.0.1 --save '' --io-threads 4 --io-threads-do-reads yes &
    for _ in $(seq 300); do
        redis-cli -p "$at" ping >/dev/null 2>&1 && break
        sleep 0.1
    done
    timeout 8 redis-benchmark -p "$at" -q -n 1000000 -c 20 -t set,get >/dev/null 2>&1
    sleep 3
    redis-cli -p "$at" shutdown nosave >/dev/null 2>&1
    wait
}

nginx_with_threads() {
    at=$(port)
    mkdir -p www logs
    head -c 300000 /dev/urandom >www/file
    cat >nginx.conf <<CONF
daemon off; worker_processes 2; pid $folder/nginx.pid; error_log $folder/logs/error.log; env SLEEPERS;
thread_pool default threads=4;
events { worker_connections 64; }
http { access_log off; server { listen 127.0.0.1:$at; root $folder/www; aio threads; sendfile off; } }
CONF
    PATH=$PATH:/usr/sbin
    judged nginx nginx -p "$folder" -c "$folder/nginx.conf" &
    for _ in $(seq 60); do
        python3 -c 'import sys, urllib.request; urllib.request.urlopen("http://127.0.0.1:" + sys.argv[1] + "/file").read()' "$at" 2>/dev/null
        sleep 0.1
    done
    kill -QUIT "$(cat nginx.pid)"
    wait
}

# Statements that come slowly, on a file: it waits for them and for the disk.
statements() {
    echo 'create table t(a, b);'
    for i in $(seq 60); do
        echo "insert into t select value, value * $i from generate_series(1, 2000); select count(*) from t;"
        sleep 0.1
    done
}

threads() {
    cat >threads.py <<'PYTHON'
import os, queue, select, socket, threading, time
end, waiting, event = time.time() + 10, queue.Queue(), threading.Event()
def deep(n, f):
    return f() if n == 0 else deep(n - 1, f)
def work(i):
    r, _ = os.pipe()
    ways = [lambda: time.sleep(0.05), lambda: event.wait(0.05), lambda: select.select([r], [], [], 0.05),
            lambda: (waiting.put(1), waiting.get()), lambda: sorted([3, 1, 2], key=lambda x: time.sleep(0.01) or x)]
    while time.time() < end:
        deep(i * 5, ways[i % 5])
for i in range(10):
    threading.Thread(target=work, args=(i,)).start()
PYTHON
    judged python "$(python3 -c 'import sys; print(sys.executable)')" threads.py
}

redis
nginx_with_threads
statements | judged sqlite sqlite3 "$folder/db"
threads
judged bash bash -c 'f() { if [ $1 -gt 0 ]; then f $(($1 - 1)); else sleep 1; read -t 1 x </dev/zero; fi; }; for i in 1 2 3 4; do f 20; done; sleep 2 | cat'
head -c 60000000 /dev/urandom | judged xz xz -T3 -1

for file in ./*.txt; do
    awk -v name="$(basename "$file" .txt)" '
        $1 == "walks" { walks += $2; searched += $4; ours += $6; truth += $8; same += $10; alone += $16; whole += $18 }
        END { n = walks ? walks : 1
              printf "%-8s %6d walks  %4d searched  complete %7.3f %%  from all registers %7.3f %%  same %7.3f %%  and %d of %d where no answer came\n",
              name, walks, searched, 100 * ours / n, 100 * truth / n, 100 * same / n, whole, alone }' "$file"
done
