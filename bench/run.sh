#!/bin/sh
# All benchmarks as one table: the program alone, with the agent, switched off, and with gperftools' CPU
# profiler at the same 100 Hz. Every row comes from interleaved runs (bench/spawn.c).
#
#     sh bench/run.sh [--short] [--only NAME]
#
# NAME: sample, start, programs, dump, calls, locks, contended, memory, shares, heap, and of heap: heap_pairs, heap_samples,
# heap_large, heap_programs, heap_peers. BUILD=folder uses that build, CPU=n pins to it.
set -eu
cd "$(dirname "$0")/.."

short=0 only=
while [ $# -gt 0 ]; do
    case $1 in
    --short) short=1 ;;
    --only) only=$2 && shift ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0" && exit 2 ;;
    esac
    shift
done

profiler=
find_profiler() {
    for f in /usr/lib/*/libprofiler.so.0 /usr/lib/libprofiler.so.0; do
        if [ -e "$f" ]; then profiler=$f; fi
    done
}
llvm=
find_llvm() {
    for f in /usr/lib/*/libLLVM-*.so.1 /usr/lib/*/libLLVM.so.*; do
        if [ -e "$f" ]; then llvm=$f; fi
    done
}

me=bench
. tools/packages.sh
need_for_build
need_program sqlite3 sqlite3
need_program redis-server redis-server
need_program redis-benchmark redis-tools
need_program python3 python3
need_program taskset util-linux
need_program perf linux-perf
for package in libgoogle-perftools4 libtcmalloc-minimal4 libjemalloc2 libmimalloc2.0 libheaptrack libllvm14; do
    need_package $package
done
install_missing
find_profiler
find_llvm
build=${BUILD:-build-bench}
[ -e "$build/build.ninja" ] || meson setup "$build" -Dtests=false >/dev/null
log=$(ninja -C "$build" 2>&1) || { echo "$log" >&2; exit 1; }
build=$(cd "$build" && pwd)
cpu=${CPU:-$(($(nproc) - 1))}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/out"
# What is measured is one file that no later build can change under us.
cp "$build/preload/libcprof.so" "$dir/libcprof.so"

agent="LD_PRELOAD=$dir/libcprof.so"
peer="LD_PRELOAD=$profiler;CPUPROFILE=$dir/out/peer;CPUPROFILE_FREQUENCY=100"
spawn="$build/bench/spawn"
ops="$build/bench/ops"
samples="$build/bench/samples"
table="$dir/table"
: >"$table"

# versus RUNS PROGRAM [ARG...]: the four environments, pinned; results in $dir/last.
versus() {
    runs=$1 && shift
    "$spawn" -n "$runs" -c "$cpu" -d "$dir/out" base "agent:$agent" "off:$agent;CPROF=off" "peer:$peer" -- "$@" >"$dir/last"
    rm -f "$dir"/out/*
}

# get NAME COLUMN: of the last comparison. Columns as in bench/spawn.c, the name is the first.
get() { awk -v n="$1" -v c="$2" '$1 == n { print $c }' "$dir/last"; }

# calc EXPRESSION FORMAT
calc() { awk "BEGIN { printf \"$2\", $1 }"; }

# row WHAT UNIT BASE AGENT OFF PEER RESULT BUDGET VERDICT
row() {
    printf '%s|%s|%s|%s|%s|%s|%s|%s|%s\n' "$@" >>"$table"
    echo "  $1: $3 -> $4 $2, $7" >&2
}

# verdict VALUE LIMIT: both numbers.
verdict() { calc "($1 <= $2) ? 1 : 0" '%d' | sed 's/1/met/; s/0/MISSED/'; }

# difference WHAT UNIT COLUMN SCALE LIMIT: agent - base, smaller is better; LIMIT - for no budget.
difference() {
    b=$(calc "$(get base "$3") / $4" %.2f) a=$(calc "$(get agent "$3") / $4" %.2f)
    d=$(calc "$a - $b" %+.2f)
    limit=- met=-
    if [ "$5" != - ]; then limit="<= +$5 $2" && met=$(verdict "$d" "$5"); fi
    row "$1" "$2" "$b" "$a" "$(calc "$(get off "$3") / $4" %.2f)" "$(calc "$(get peer "$3") / $4" %.2f)" "$d" "$limit" "$met"
}

# ratio WHAT UNIT COLUMN SCALE PERCENT: agent / base, of the minima and, behind the slash, of the medians. On
# a busy machine these disagree; then nothing is claimed.
ratio() {
    b=$(calc "$(get base "$3") / $4" %.3f) a=$(calc "$(get agent "$3") / $4" %.3f)
    r=$(calc "$(get agent "$3") / $(get base "$3")" %.4f)
    m=$(calc "$(get agent $(($3 + 1))) / $(get base $(($3 + 1)))" %.4f)
    limit=- met=-
    if [ "$5" != - ]; then
        limit="<= 1.0$5" met=$(verdict "$r" "1.0$5")
        [ "$met" = "$(verdict "$m" "1.0$5")" ] || met=unclear
    fi
    row "$1" "$2" "$b" "$a" "$(calc "$(get off "$3") / $4" %.3f)" "$(calc "$(get peer "$3") / $4" %.3f)" \
        "x $r / $m" "$limit" "$met"
}

bench_sample() {
    for depth in 10 30; do
        for how in warm cold; do
            "$spawn" -n "$1" -c "$cpu" -d "$dir/out" base "agent:$agent" -- "$samples" $how $depth >"$dir/last"
            rm -f "$dir"/out/*
            limit=- met=-
            if [ $how$depth = warm30 ]; then limit='<= 3 us' && met=$(verdict "$(get agent 8)" 3); fi
            row "CPU sample, $depth frames, $how" us "$(get base 8)" "$(get agent 8)" - - \
                "$(calc "$(get agent 8) - $(get base 8)" %+.2f)" "$limit" "$met"
        done
    done
}

bench_start() {
    versus "$1" /bin/true
    difference "start-up of true, CPU" ms 4 1000 1.5
    difference "start-up of true, wall" ms 2 1000 1.5
    difference "start-up of true, page faults" "" 6 1 -
    difference "start-up of true, max RSS" KB 7 1 -
    [ -n "$llvm" ] || return 0
    echo 'int main(void) { return 0; }' | gcc -x c - -x none -o "$dir/large" -Wl,--no-as-needed "$llvm"
    versus $(($1 / 10)) "$dir/large"
    difference "start-up with libLLVM, CPU" ms 4 1000 5
}

program() {
    what=$1 && shift
    versus "$@"
    ratio "$what, CPU" s 4 1000000 1
    ratio "$what, wall" s 2 1000000 -
}

bench_programs() {
    python=$(python3 -c 'import sys; print(sys.executable)')
    sh bench/work_c.sh "$([ $short = 1 ] && echo 200 || echo 400)" >"$dir/work.c"
    program "sqlite3, 1 M rows" "$1" sqlite3 :memory: ".read $PWD/bench/work.sql"
    program "python3" "$1" "$python" "$PWD/bench/work.py" "$([ $short = 1 ] && echo 2 || echo 5)"
    program "gcc -O2" "$1" gcc -O2 -c "$dir/work.c" -o /dev/null
    for what in server clients; do
        "$spawn" -n "$1" -d "$dir/out" base "agent:BENCH_PRELOAD=$dir/libcprof.so" \
            "off:BENCH_PRELOAD=$dir/libcprof.so;CPROF=off" \
            "peer:BENCH_PRELOAD=$profiler;CPUPROFILE=$dir/out/peer" -- \
            sh "$PWD/bench/work_redis.sh" "$([ $short = 1 ] && echo 100000 || echo 200000)" $what >"$dir/last"
        rm -f "$dir"/out/*
        if [ $what = server ]; then ratio "redis-server, CPU" s 8 1 1; else ratio "redis-benchmark, time" s 8 1 -; fi
    done
}

bench_dump() {
    "$spawn" -n "$1" -c "$cpu" -d "$dir/out" "agent:$agent;CPROF_OUT=$dir/out/dump.%n" -- "$samples" dump 10000 >"$dir/last"
    row "dump of 10,000 stacks of 30" ms - "$(get agent 8)" - - "$(get agent 8)" "<= 100 ms" "$(verdict "$(get agent 8)" 100)"
    size=$(wc -c <"$dir/out/dump.1")
    row "... its file" bytes - "$size" - - "$(calc "$size / 10000" %.1f) a stack" - -
    rm -f "$dir"/out/*
}

bench_calls() {
    versus "$1" "$ops" lock && difference "lock+unlock, single-threaded" ns 8 1 1.5
    versus "$1" "$ops" lock_mt && difference "lock+unlock, multi-threaded" ns 8 1 2
    versus "$1" "$ops" thread && difference "pthread_create+join" us 8 1000 -
    versus "$1" "$ops" fork && difference "fork+_exit+waitpid" us 8 1000 -
    versus "$1" "$ops" sigaction && difference "sigaction" ns 8 1 -
    versus "$1" "$ops" sigprocmask && difference "sigprocmask" ns 8 1 -
}

# lock_row WHAT NAME LIMIT: against no preload, with a bare interposer beside it. LIMIT: +ns.
lock_row() {
    "$spawn" -n "$runs" -c "$cpu" -d "$dir/out" base "pass:LD_PRELOAD=$build/bench/libpassthrough_locks.so" "agent:$agent" \
        "off:$agent;CPROF=off" "peer:$agent;CPROF=mutex=10us,block=10us" -- "$build/bench/locks" "$2" >"$dir/last"
    rm -f "$dir"/out/*
    b=$(get base 8) a=$(get agent 8) met=- limit=-
    d=$(calc "$a - $b" %+.2f)
    if [ "$3" != - ]; then limit="<= +$3 ns" met=$(verdict "$a - $b" "$3"); fi
    row "$1" ns "$b" "$a" "$(get off 8)" - "$d" "$limit" "$met"
    row "... a bare interposer" ns "$(get pass 8)" "$a" "$(get off 8)" - "x $(calc "$a / $(get pass 8)" %.3f)" - -
    row "... a sample each 10 us" ns "$b" "$(get peer 8)" - - "x $(calc "$(get peer 8) / $b" %.3f)" - -
}

bench_locks() {
    runs=$1
    lock_row "lock+unlock, one thread" pair 1.5
    lock_row "lock+unlock, two threads" pair_mt 2
    lock_row "read lock+unlock, two threads" read -
}

# met_row WHAT NAME THREADS LIMIT: where threads meet; LIMIT of the wall time's ratio. Medians of the runs and of their ratios
# in each turn: the best run is one in which the threads happened to take turns well.
met_row() {
    "$spawn" -n "$runs" -d "$dir/out" base "pass:LD_PRELOAD=$build/bench/libpassthrough_locks.so" "agent:$agent" \
        "off:$agent;CPROF=off" -- "$build/bench/locks" "$2" "$3" >"$dir/last"
    rm -f "$dir"/out/*
    met_column "$1, wall" ns 9 12 "$4"
    met_column "$1, CPU" ns 10 13 -
    row "$1, sleeps" "/1000" "$(get base 11)" "$(get agent 11)" "$(get off 11)" - "bare $(get pass 11)" - -
}

# met_column WHAT UNIT COLUMN RATIO LIMIT
met_column() {
    r=$(get agent "$4") met=- limit=-
    if [ "$5" != - ]; then limit="<= x$5" met=$(verdict "$r" "$5"); fi
    row "$1" "$2" "$(get base "$3")" "$(get agent "$3")" "$(get off "$3")" - \
        "x $(calc "$r" %.3f), bare $(calc "$(get pass "$4")" %.3f)" "$limit" "$met"
}

bench_contended() {
    runs=$1
    for threads in 2 8 64; do
        met_row "contended, $threads threads" contended $threads 1.03
    done
    met_row "condition ping-pong" ping_pong 2 -
}

bench_memory() {
    versus "$1" "$ops" rss
    difference "RSS at start" KB 9 1 2048
    one=$(get agent 9) base=$(get base 9) off=$(get off 9) peers=$(get peer 9)
    versus "$1" "$ops" rss_threads
    per() { calc "($(get "$1" 9) - $2) / 1000" %.3f; }
    b=$(per base "$base") a=$(per agent "$one")
    d=$(calc "$a - $b" %+.3f)
    row "RSS per thread, of 1,000" KB "$b" "$a" "$(per off "$off")" "$(per peer "$peers")" "$d" "<= +1 KB" "$(verdict "$d" 1)"
}

# Tables in markdown, as docs/performance.md has them: one file each, all printed at the end.
# md_table NAME TITLE HEADER...: begins a table.
md_table() {
    printf '\n%s\n\n' "$2" >"$dir/table-$1.md"
    md_name=$1 && shift 2
    md_row "$@"
    for _ in "$@"; do printf '|---'; done >>"$dir/table-$md_name.md"
    echo '|' >>"$dir/table-$md_name.md"
}

md_row() {
    printf '| %s ' "$@" >>"$dir/table-$md_name.md"
    echo '|' >>"$dir/table-$md_name.md"
    echo "  $*" >&2
}

# median FILE: of a number on each line.
median() { sort -n "$1" | awk '{ v[NR] = $1 } END { printf "%.2f", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }

md_tables() {
    for t in pairs samples large programs peers shares; do
        [ ! -e "$dir/table-$t.md" ] || cat "$dir/table-$t.md"
    done
}

. bench/heap.sh
. bench/shares.sh

# NAME runs runs-when-short
echo "measuring on CPU $cpu, load $(cut -d' ' -f1-3 /proc/loadavg)"
for bench in sample:7:2 start:500:100 programs:9:3 dump:7:2 calls:7:2 locks:9:2 contended:31:3 memory:9:3 \
    heap_pairs:9:1 heap_samples:7:2 heap_large:7:2 heap_programs:9:3 heap_peers:5:1 shares:5:1; do
    name=${bench%%:*} runs=${bench#*:}
    [ -z "$only" ] || [ "$only" = "$name" ] || [ "$only" = "${name%%_*}" ] || continue
    [ $short = 1 ] && runs=${runs#*:} || runs=${runs%:*}
    bench_$name "$runs"
done

md_tables
[ -s "$table" ] || exit 0
awk -F'|' 'BEGIN {
    f = "%-31s %-6s %12s %12s %12s %12s %18s  %-14s %s\n"
    printf f, "what", "unit", "base", "agent", "CPROF=off", "libprofiler", "agent to base", "budget", "verdict"
} { printf f, $1, $2, $3, $4, $5, $6, $7, $8, $9 }' "$table"
cat <<END
Load at the end: $(cut -d' ' -f1-3 /proc/loadavg). Minimum of N interleaved runs (memory, page faults and contended locks: median; N = 7 to 9, 31 for contended locks, 500 for start-up, fewer with --short).
Behind a slash: of the medians. "unclear": the two disagree, the machine was too busy to tell.
In the rows that begin with "...", base is the thing named. libprofiler is gperftools' at 100 Hz.
END
