#!/bin/sh
# redis-server under redis-benchmark; a dump in the middle and one when it ends.
. "$(dirname "$0")/common.sh"
port=$(free_port)
start redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --dir . --logfile redis.log &
server=$!
until_true 20 redis-cli -p "$port" ping
redis-benchmark -p "$port" -q -n 150000 -c 20 -P 4 -t set,get,lpush,lrange_100 >bench.txt &
bench=$!
sleep 1
dump "$server" USR2
wait "$bench"
redis-cli -p "$port" set answer 42
redis-cli -p "$port" get answer
redis-cli -p "$port" bgsave >/dev/null
until_true 20 test -s dump.rdb
redis-cli -p "$port" shutdown nosave
wait "$server"
echo "redis ended with $?"
