# Sourced by bench/run.sh: how much of a program's CPU time is spent inside the library, by the kernel's own samples. A
# share depends little on what else the machine does, so it can tell half a percent where ratios of whole runs scatter
# by three. It counts waiting for a cache line that the program itself would have waited for a moment later, and
# not what the library makes the kernel or the program's caches do.

# share LIBRARY: percent of the samples of the last recording, or of those of one command.
share() {
    perf report -i "$dir/perf.data" --sort comm,dso -t '|' 2>/dev/null | tr -d ' %' |
        awk -F'|' -v d="$1" -v c="$share_of" '/^[0-9]/ && (c == "" || $2 == c) { all += $1; if ($3 == d) n += $1 }
            END { printf "%.2f\n", 100 * n / all }'
}

# recorded LIBRARY VARIABLE=VALUE...: one more run of the program of this row; its share.
recorded() {
    library=$1 && shift
    # shellcheck disable=SC2086 # the program and its arguments
    perf record -q -o "$dir/perf.data" -e cpu-clock -F 10000 -- \
        env "$@" CPROF_OUT="$dir/out/%e-%p-%k-%n" $share_program >/dev/null 2>&1
    share "$library"
    rm -f "$dir"/out/* "$dir/perf.data"
}

# share_row RUNS WHAT COMMAND PROGRAM: COMMAND is the process meant, empty for all; the three environments in turn.
share_row() {
    share_of=$3 share_program=$4
    rm -f "$dir"/share.*
    for _ in $(seq "$1"); do
        recorded libpassthrough.so "$preload=$build/bench/libpassthrough.so" >>"$dir/share.pass"
        recorded libcprof.so "$preload=$dir/libcprof.so" CPROF=off >>"$dir/share.off"
        recorded libcprof.so "$preload=$dir/libcprof.so" >>"$dir/share.agent"
    done
    all=$(median "$dir/share.agent")
    met=$(verdict "$all" 1.00)
    md_row "$2" "$(median "$dir/share.pass") %" "$(median "$dir/share.off") %" "$all %" "<= 1 %: $met"
}

bench_shares() {
    md_table shares "Share of the CPU time inside the library: the median of $1 runs in turn, 10,000 samples a second." \
        program "bare interposer of malloc" CPROF=off "all default kinds" budget
    python=$(python3 -c 'import sys; print(sys.executable)')
    sh bench/work_c.sh 400 >"$dir/work.c"
    preload=LD_PRELOAD
    share_row "$1" "sqlite3, 1 M rows" "" "sqlite3 -init $PWD/bench/work.sql :memory: .quit"
    share_row "$1" "python3" "" "$python $PWD/bench/work.py 5"
    share_row "$1" "python3, objects" "" "$python $PWD/bench/work_alloc.py 12"
    share_row "$1" "python3, objects, PYTHONMALLOC=malloc" "" "env PYTHONMALLOC=malloc $python $PWD/bench/work_alloc.py 12"
    share_row "$1" "gcc -O2" "" "gcc -O2 -c $dir/work.c -o /dev/null"
    preload=BENCH_PRELOAD
    share_row "$1" "redis-server" redis-server "sh $PWD/bench/work_redis.sh 200000"
}
