#!/bin/sh
# The parsers of what a host may bring along, .eh_frame with its search table and perf maps, under libFuzzer with
# AddressSanitizer and UndefinedBehaviorSanitizer; it begins with the committed corpus.
#
#     sh fuzz/run.sh              so many inputs as take seconds, the same ones each time: what the tests do
#     sh fuzz/run.sh SECONDS      all at once, for so long; what they learn stays in build-fuzz/corpus
#     sh fuzz/run.sh merge        the smallest part of that which covers as much, into fuzz/corpus
#
# BUILD=folder builds there. An input that is a finding stays in build-fuzz/found.
set -u
source_dir=$(cd "$(dirname "$0")/.." && pwd)
build=${BUILD:-$source_dir/build-fuzz}
what=${1:-short}
me=fuzz
targets="cfi:eh_frame:200000 cfi_quick:cfi_quick:12000 eh_index:eh_index:100000 perf_map:perf_map:80000" # corpus, inputs
. "$source_dir/tools/packages.sh"

set_up() {
    need_for_build
    need_program clang clang
    need_package libclang-rt-14-dev
    install_missing
    [ -f "$build/build.ninja" ] ||
        CC=clang meson setup "$build" "$source_dir" -Dfuzz=true -Dtests=false -Dbench=false >/dev/null ||
        die "meson setup failed"
    mkdir -p "$build/found"
    for row in $targets; do
        split "$row"
        mkdir -p "$build/corpus/$corpus"
        ninja -C "$build" "fuzz/fuzz_$target" >"$build/log" 2>&1 || {
            cat "$build/log"
            die "the build failed"
        }
    done
}

split() {
    target=${1%%:*}
    inputs=${1##*:}
    corpus=${1#*:}
    corpus=${corpus%:*}
}

# fuzz TARGET CORPUS INPUTS: new inputs go to the first folder, the committed ones are only read
fuzz() {
    learned=$build/corpus/$2
    if [ "$what" = short ]; then
        learned=$(mktemp -d)
        set -- "$1" "$2" "-runs=$3"
    else
        set -- "$1" "$2" "-max_total_time=$what"
    fi
    "$build/fuzz/fuzz_$1" -seed=1 "$3" -timeout=120 -artifact_prefix="$build/found/" -print_final_stats=1 \
        "$learned" "$source_dir/fuzz/corpus/$2" >"$build/log_$1" 2>&1
    status=$?
    [ "$what" != short ] || rm -rf "$learned"
    return $status
}

# report TARGET STATUS
report() {
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
        echo "[PASS] fuzz::$1: $(sed -n 's/^Done //p' "$build/log_$1"), $(grep -o 'cov: [0-9]*' "$build/log_$1" | tail -n 1)"
    else
        failed=$((failed + 1))
        echo "[FAIL] fuzz::$1"
        tail -n 60 "$build/log_$1"
    fi
}

merge() {
    smallest=$(mktemp -d)
    "$build/fuzz/fuzz_$1" -set_cover_merge=1 -use_counters=0 -max_len=1024 "$smallest" "$source_dir/fuzz/corpus/$2" "$build/corpus/$2" \
        >"$build/log_$1" 2>&1 || die "$(tail -n 20 "$build/log_$1")"
    cp -n "$smallest"/* "$source_dir/fuzz/corpus/$2"
    rm -rf "$smallest"
}

set_up
if [ "$what" = merge ]; then
    for row in $targets; do
        split "$row"
        merge "$target" "$corpus"
    done
    exit 0
fi
passed=0
failed=0
running=
for row in $targets; do
    split "$row"
    fuzz "$target" "$corpus" "$inputs" &
    running="$running $target:$!"
done
for one in $running; do
    wait "${one#*:}"
    report "${one%:*}" $?
done
echo "[====] Synthesis: Tested: $((passed + failed)) | Passing: $passed | Failing: $failed | Crashing: 0"
[ $failed -eq 0 ]
