#!/bin/sh
# No deadlock, whatever the program does: 64 threads that throw exceptions, two that open and close libraries, four
# that allocate, under as many samples as the kernel delivers.
#
#     sh tests/soak/run.sh BUILD [SECONDS] [cfi|libunwind|both]     600 seconds with each engine
#
# A run that does not end within 15 minutes after its time is a failure that prints every thread's backtrace. So is a
# crash, an exception that did not arrive, and, with our own engine, less than 99 % of walks that reach the root (what
# is missing lies in libraries that come and go faster than their mappings can be read).
set -u
[ $# -ge 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
build=$(cd "$1" && pwd)
seconds=${2:-600}
engines=${3:-both}
[ "$engines" = both ] && engines="cfi libunwind"
tests=$(cd "$(dirname "$0")/.." && pwd)
. "$tests/walks.sh"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
passed=0
failed=0

# check WHAT GOOD: GOOD is a status
check() {
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
        echo "[PASS] soak::$1"
    else
        failed=$((failed + 1))
        echo "[FAIL] soak::$1"
    fi
}

running() { grep -q '^State:.[^ZX]' "/proc/$1/status" 2>/dev/null; }

# ended_by PID SECONDS: waits; kills what hangs, after a look at it.
ended_by() {
    left=$2
    while running "$1" && [ "$left" -gt 0 ]; do
        sleep 1
        left=$((left - 1))
    done
    running "$1" || return 0
    echo "still there after $2 seconds; what its threads do:"
    timeout 120 gdb -batch -p "$1" -ex 'thread apply all backtrace 40' 2>/dev/null
    kill -KILL "$1"
    return 1
}

# The rate is the highest that the option takes. CPU timers fire on the kernel's ticks, so that CONFIG_HZ for each
# busy CPU is what comes of it. CPROF_EVERY: names are found, and files written, in the middle of the storm.
start() {
    exec env LD_PRELOAD="$build/preload/libcprof.so" CPROF=cpu=10000hz CPROF_STACK="$1" CPROF_EVERY=10s \
        CPROF_OUT="$folder/$1/cprof-%e-%p-%k-%n.pb.gz" "$build/tests/soak/soak" "$seconds" "$build/tests/soak"
}

# What the last profile's comments say, and the samples of them all.
report() {
    last=$(find "$folder/$1" -name '*.pb.gz' | sort -V | tail -n 1)
    [ -n "$last" ] || return 1
    # shellcheck disable=SC2046 # two words
    set -- "$1" $(walks_in "$folder/$1")
    echo "$1: $2 samples in $seconds seconds, $(percent "$3" "$2") of their stacks reach the thread's root"
    comments "$last" | grep '^[0-9]'
    [ "$2" -gt 0 ] || return 1
    [ "$1" = cfi ] || return 0
    # Less 5 standard errors of a share of so many walks: on a busy machine they are few.
    least_share "$3" "$2" "$(awk -v n="$2" 'BEGIN { print 0.99 - 5 * sqrt(0.99 * 0.01 / n) }')"
}

for engine in $engines; do
    echo "$engine: $seconds seconds"
    mkdir "$folder/$engine"
    start "$engine" >"$folder/out" 2>"$folder/err" &
    pid=$!
    ended_by $pid $((seconds + 900))
    check "${engine}_does_not_hang" $?
    wait $pid
    status=$?
    cat "$folder/out" "$folder/err"
    [ $status -eq 0 ] || echo "it ended with $status"
    check "${engine}_every_exception_arrives" $status
    report "$engine"
    check "${engine}_stacks_reach_the_root" $?
done
echo "[====] Synthesis: Tested: $((passed + failed)) | Passing: $passed | Failing: $failed | Crashing: 0"
[ $failed -eq 0 ]
