#!/bin/sh
# redis-server with four I/O threads, which are handed work by mutexes of their own.
. "$(dirname "$0")/common.sh"
port=$(free_port)
start redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --dir . --logfile redis.log \
    --io-threads 4 --io-threads-do-reads yes &
server=$!
until_true 300 redis-cli -p "$port" ping
redis-benchmark -p "$port" -q -n 10000 -c 50 -P 4 -t set,get >bench.txt
redis-cli -p "$port" set answer 42
redis-cli -p "$port" get answer
redis-cli -p "$port" shutdown nosave
wait "$server"
echo "redis ended with $?"
