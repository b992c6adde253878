# Sourced by bench/run.sh: the heap profile.

heap_agent="$agent;CPROF=heap"
pass="LD_PRELOAD=$build/bench/libpassthrough.so"
heap="$build/bench/heap"

library() { ls /usr/lib/*/"$1" /usr/lib/"$1" 2>/dev/null | head -n 1; }

# threads_pinned N: one CPU for one thread, all of them for more.
threads_pinned() { [ "$1" -gt 1 ] || echo "-c $cpu"; }

# ns NAME: of the last comparison's values.
ns() { calc "$(get "$1" 8)" %.2f; }

# added NAME: what its doors add, the median and, in brackets, the least and the most.
added() { printf '%+.2f (%+.2f to %+.2f)' "$(get "$1" 10)" "$(get "$1" 14)" "$(get "$1" 15)"; }

# heap_pairs RUNS ALLOCATOR LIBRARY: every pair, 1 and 2 threads.
heap_pairs() {
    behind=${3:+:$3}
    for how in hot batch cold; do
        for threads in 1 2; do
            # shellcheck disable=SC2046 # two words or none
            "$spawn" -n "$1" $(threads_pinned $threads) -d "$dir/out" "pass:$pass$behind" "agent:$agent$behind;CPROF=heap" \
                "off:$agent$behind;CPROF=off" -- "$build/bench/turns" $how "${3:-libc.so.6}" $threads >"$dir/last"
            rm -f "$dir"/out/*
            b=$(calc "$(get agent 9)" %.2f) a=$(get agent 10)
            x=$(calc "($b + $a) / ($b + $(get pass 10))" %.3f) met=-
            case $how in
            hot) met="<= +2: $(verdict "$a" 2)" ;;
            cold) met="<= +6: $(verdict "$a" 6)" ;;
            esac
            [ "$how$2" != hotglibc ] || met="$met, <= x 1.15: $(verdict "$x" 1.15)"
            md_row "$2, $how, $threads" "$b" "$(added pass)" "$(added agent)" "$(added off)" "x $x" "$met"
        done
    done
}

bench_heap_pairs() {
    md_table pairs "ns per malloc+free pair, and what is added to it in the same process: medians of $1 runs (all of them). CPROF=heap at its default of 512 KiB." \
        "allocator, pair, threads" base "bare interposer" agent CPROF=off "agent to a bare one" budget
    heap_pairs "$1" glibc ""
    heap_pairs "$1" jemalloc "$(library libjemalloc.so.2)"
    heap_pairs "$1" tcmalloc "$(library libtcmalloc_minimal.so.4)"
    heap_pairs "$1" mimalloc "$(library libmimalloc.so.2)"
}

# heap_peer RUNS WHO DIVISOR BASE-ENVIRONMENT ENVIRONMENT
heap_peer() {
    cells=
    for how in hot cold; do
        "$spawn" -n "$1" -c "$cpu" -d "$dir/out" "base:$4" "peer:$5" -- "$heap" $how 1 "$3" >"$dir/last"
        rm -rf "$dir"/out/*
        cells="$cells|$(ns base)|$(ns peer)|$(calc "$(ns peer) - $(ns base)" %+.2f)"
    done
    oldifs=$IFS IFS='|'
    # shellcheck disable=SC2086 # cut at the bars
    set -- "$2" ${cells#|}
    IFS=$oldifs
    md_row "$@"
}

bench_heap_peers() {
    je=$(library libjemalloc.so.2) tc=$(library libtcmalloc.so.4)
    track=$(ls /usr/lib/heaptrack/libheaptrack_preload.so /usr/lib/*/heaptrack/libheaptrack_preload.so 2>/dev/null | head -n 1)
    md_table peers "Beside other heap profilers: ns per pair, one thread; base is the same allocator without any. Cold: among a million live blocks, for those that note every block among 100,000." \
        profiler "hot: base" with more "cold: base" with more
    heap_peer "$1" "libcprof on glibc, 512 KiB" 1 "" "$heap_agent"
    heap_peer "$1" "libcprof on jemalloc, 512 KiB" 1 "LD_PRELOAD=$je" "$agent:$je;CPROF=heap"
    heap_peer "$1" "jemalloc's own, 512 KiB (prof:true)" 1 "LD_PRELOAD=$je" \
        "LD_PRELOAD=$je;MALLOC_CONF=prof:true,lg_prof_sample:19"
    heap_peer "$1" "libcprof on tcmalloc, 512 KiB" 1 "LD_PRELOAD=$tc" "$agent:$tc;CPROF=heap"
    heap_peer "$1" "tcmalloc's own, 512 KiB (TCMALLOC_SAMPLE_PARAMETER)" 1 "LD_PRELOAD=$tc" \
        "LD_PRELOAD=$tc;TCMALLOC_SAMPLE_PARAMETER=524288"
    few=$(($1 < 3 ? $1 : 3))
    heap_peer $few "libcprof on glibc, every block (heap=1)" 10 "" "$agent;CPROF=heap=1"
    [ -z "$track" ] || heap_peer $few "heaptrack (every block)" 50 "" "LD_PRELOAD=$track;DUMP_HEAPTRACK_OUTPUT=$dir/out/heaptrack"
    heap_peer $few "gperftools HEAPPROFILE (every block)" 1000 "LD_PRELOAD=$tc" "LD_PRELOAD=$tc;HEAPPROFILE=$dir/out/heap"
}

bench_heap_samples() {
    md_table samples "A sampled block: us per malloc+free pair of 64 bytes, every one sampled (heap=1); bytes per live sample." \
        what base agent difference budget
    for how in depth10 depth30 stacks; do
        "$spawn" -n "$1" -c "$cpu" -d "$dir/out" base "agent:$agent;CPROF=heap=1" -- "$heap" $how >"$dir/last"
        rm -f "$dir"/out/*
        b=$(calc "$(ns base) / 1000" %.3f) a=$(calc "$(ns agent) / 1000" %.3f)
        d=$(calc "$a - $b" %+.3f)
        case $how in
        depth10) what="10 frames, one stack, us" ;;
        depth30) what="30 frames, one stack, us" ;;
        *) what="30 frames, a thousand stacks, us" ;;
        esac
        md_row "$what" "$b" "$a" "$d" "<= 1.5: $(verdict "$d" 1.5)"
    done
    for n in 10000 100000 1000000; do
        "$spawn" -n 3 -c "$cpu" -d "$dir/out" base "one:$agent;CPROF=heap=1g" "agent:$agent;CPROF=heap=1;CPROF_MEMORY=512m" -- \
            "$heap" live $n >"$dir/last"
        rm -f "$dir"/out/*
        d=$(calc "($(get agent 9) - $(get one 9)) * 1024 / $n" %.1f)
        md_row "$n live blocks, all sampled: bytes a sample" "$(calc "$(get one 9)" %.0f) KB" "$(calc "$(get agent 9)" %.0f) KB" "$d" "<= 100: $(verdict "$d" 100)"
    done
}

bench_heap_large() {
    md_table large "A loop of 1 MiB blocks, each larger than the rate: ns per pair." \
        what base agent "agent to base" budget
    for threads in 1 2; do
        for how in large large_used; do
            # shellcheck disable=SC2046 # two words or none
            "$spawn" -n "$1" $(threads_pinned $threads) -d "$dir/out" base "agent:$heap_agent" -- "$heap" $how $threads >"$dir/last"
            rm -f "$dir"/out/*
            x=$(calc "$(ns agent) / $(ns base)" %.3f)
            [ $how = large ] && what="first byte written" || what="all of it written"
            md_row "$what, $threads" "$(ns base)" "$(ns agent)" "x $x" "<= x 1.10: $(verdict "$x" 1.10)"
        done
    done
}

# heap_program WHAT COLUMN SCALE: of the last comparison.
heap_program() {
    r=$(calc "$(get agent "$2") / $(get base "$2")" %.4f) m=$(calc "$(get agent $(($2 + 1))) / $(get base $(($2 + 1)))" %.4f)
    met=$(verdict "$r" 1.01)
    [ "$met" = "$(verdict "$m" 1.01)" ] || met=unclear
    md_row "$1" "$(calc "$(get base "$2") / $3" %.3f)" "$(calc "$(get pass "$2") / $3" %.3f)" \
        "$(calc "$(get agent "$2") / $3" %.3f)" "$(calc "$(get all "$2") / $3" %.3f)" "x $r / $m" "<= 1.01: $met"
}

bench_heap_programs() {
    md_table programs "Whole programs that allocate: s of CPU, the profile at exit included; behind the slash, of the medians." \
        program base "bare interposer" CPROF=heap "all default profiles" "CPROF=heap to base" budget
    python=$(python3 -c 'import sys; print(sys.executable)')
    scale=$([ "$short" = 1 ] && echo 2 || echo 12)
    for how in default malloc; do
        "$spawn" -n "$1" -c "$cpu" -d "$dir/out" "base:PYTHONMALLOC=$how" "pass:$pass;PYTHONMALLOC=$how" \
            "agent:$heap_agent;PYTHONMALLOC=$how" "all:$agent;PYTHONMALLOC=$how" -- \
            "$python" "$PWD/bench/work_alloc.py" "$scale" >"$dir/last"
        rm -f "$dir"/out/*
        [ $how = default ] && what="python3, objects" || what="python3, objects, PYTHONMALLOC=malloc"
        heap_program "$what" 4 1000000
    done
    "$spawn" -n "$1" -d "$dir/out" base "pass:BENCH_PRELOAD=$build/bench/libpassthrough.so" \
        "agent:BENCH_PRELOAD=$dir/libcprof.so;CPROF=heap" "all:BENCH_PRELOAD=$dir/libcprof.so" -- \
        sh "$PWD/bench/work_redis.sh" "$([ "$short" = 1 ] && echo 100000 || echo 300000)" server >"$dir/last"
    rm -f "$dir"/out/*
    heap_program "redis-server, set, get, lpush" 8 1
}
