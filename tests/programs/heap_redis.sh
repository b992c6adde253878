#!/bin/sh
# A redis-server: a dump when it is empty, 4,000 values of 10,000 bytes, and the profile of its end.
. "$(dirname "$0")/common.sh"
port=$(free_port)
start redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --dir . --logfile redis.log &
server=$!
until_true 300 redis-cli -p "$port" ping
if [ -n "$PRELOAD" ]; then
    kill -USR2 "$server"
    until_true 300 at_least "cprof-*-$server-heap-*.pb.gz" 1
fi
python3 -c '
import sys
value = "v" * 10000
for i in range(4000):
    key = "key:%d" % i
    sys.stdout.write("*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$10000\r\n%s\r\n" % (len(key), key, value))' |
    redis-cli -p "$port" --pipe | tail -n 1
redis-cli -p "$port" dbsize
redis-cli -p "$port" shutdown nosave
wait "$server"
echo "redis ended with $?"
