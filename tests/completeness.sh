#!/bin/sh
# How many stacks reach the thread's root in programs of many kinds, at the highest rate the kernel delivers: by what
# each profile's comments say of its walks. At least 99.5 % in each, of 1,000 walks or more.
#
#     sh tests/completeness.sh BUILD
#
# 99.5 % of 1,000 is five walks cut. What is known to be cut (docs/unwinding.md) is one in 2,000 at most, so that chance
# makes six of them once in 70,000 runs.
set -u
build=$(cd "$1" && pwd)
tests=$(cd "$(dirname "$0")" && pwd)
. "$tests/walks.sh"
enough=1000
attempts=60
python=$(python3 -c 'import sys; print(sys.executable)') # what is on PATH may be a script
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# profiled LABEL COMMAND...
profiled() {
    out=$folder/$1
    shift
    env LD_PRELOAD="$build/preload/libcprof.so" CPROF=cpu=10000hz CPROF_OUT="$out/cprof-%p-%k-%n.pb.gz" "$@" \
        </dev/null >"$out/out" 2>"$out/err"
}

redis() {
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    profiled redis redis-server --port "$port" --bind 127.0.0.1 --save '' &
    server=$!
    for _ in $(seq 300); do # a client that comes before the server asks for ever
        redis-cli -p "$port" ping >/dev/null 2>&1 && break
        sleep 0.1
    done
    timeout 600 redis-benchmark -p "$port" -q -n 300000 -P 8 -t set,get,lpush,lrange_100 >/dev/null 2>&1
    redis-cli -p "$port" shutdown nosave >/dev/null 2>&1
    wait "$server"
}

throw() { profiled throw "$folder/throw-host" 3000000; }
rust() { profiled rust "$folder/rust-host"; }
python() { profiled python "$python" "$tests/../bench/work.py"; }
sqlite() { profiled sqlite sqlite3 :memory: ".read $tests/../bench/work.sql"; }
openssl() { profiled openssl openssl speed -seconds 2 -bytes 4096 aes-128-cbc sha256 sha512 rsa2048 ecdsap256; }

# measure PROGRAM: one of the above until there are walks enough
measure() {
    mkdir "$folder/$1"
    for _ in $(seq $attempts); do
        "$1"
        walks_in "$folder/$1" >"$folder/$1.walks"
        read -r walks _ <"$folder/$1.walks"
        [ "$walks" -lt $enough ] || break
    done
}

c++ -O2 -o "$folder/throw-host" "$tests/agreement/throw.cc"
rustc -O -o "$folder/rust-host" "$tests/programs/hot.rs" 2>/dev/null
programs="redis sqlite python throw rust openssl"
for program in $programs; do
    measure $program &
done
wait

passed=0
failed=0
for program in $programs; do
    read -r walks complete <"$folder/$program.walks"
    walks=${walks:-0} complete=${complete:-0}
    if [ "$walks" -ge $enough ] && least_share "$complete" "$walks" 0.995; then
        passed=$((passed + 1)) verdict=PASS
    else
        failed=$((failed + 1)) verdict=FAIL
    fi
    echo "[$verdict] completeness::$program: $complete of $walks walks reach the root, $(percent "$complete" "$walks")"
    [ $verdict = PASS ] || tail -n 5 "$folder/$program/err" "$folder/$program/out"
done
echo "[====] Synthesis: Tested: $((passed + failed)) | Passing: $passed | Failing: $failed | Crashing: 0"
[ $failed -eq 0 ]
