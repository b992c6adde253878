#!/bin/sh
# A redis-server with $BENCH_PRELOAD under a fixed number of requests. Prints seconds: of the server's CPU, by
# its own account, or, with "clients", of the clients' time. work_redis.sh REQUESTS [clients]
port=$((20000 + $$ % 20000))
LD_PRELOAD=$BENCH_PRELOAD redis-server --port $port --save '' --appendonly no --daemonize no >/dev/null &
server=$!
trap 'kill $server 2>/dev/null; wait $server' EXIT
cpu() {
    redis-cli -p $port info cpu | tr -d '\r' |
        awk -F: '/^used_cpu_(sys|user):/ { sum += $2 } END { printf "%.6f", sum }'
}
until redis-cli -p $port ping >/dev/null 2>&1; do sleep 0.02; done
before=$(cpu)
# --csv: "test","requests per second",...
time=$(redis-benchmark -p $port --csv -n "$1" -c 20 -P 4 -t set,get,lpush |
    awk -F'"' -v n="$1" 'NR > 1 { sum += n / $4 } END { printf "%.6f", sum }')
after=$(cpu)
if [ "${2:-}" = clients ]; then
    echo "$time"
else
    awk -v a="$before" -v b="$after" 'BEGIN { printf "%.6f\n", b - a }'
fi
