#!/bin/sh
# redis-server under redis-benchmark; a dump in the middle and one when it ends.
. "$(dirname "$0")/common.sh"
start redis-server --port 0 --unixsocket redis.sock --save '' --appendonly no --dir . --logfile redis.log &
server=$!
until_true 300 redis-cli -s redis.sock ping
redis-benchmark -s redis.sock -q -n 100000 -c 20 -P 4 -t set,get,lpush,lrange_100 >bench.txt &
bench=$!
until_true 300 burns "$server" 30
dump "$server" USR2
wait "$bench"
burned=$(cpu_of "$server")
until burns "$server" $((burned + 50)); do
    redis-benchmark -s redis.sock -q -n 20000 -c 20 -P 4 -t lrange_100 >bench.txt
done
redis-cli -s redis.sock set answer 42
redis-cli -s redis.sock get answer
redis-cli -s redis.sock bgsave >/dev/null
until_true 300 test -s dump.rdb
redis-cli -s redis.sock shutdown nosave
wait "$server"
echo "redis ended with $?"
