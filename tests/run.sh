#!/bin/sh
# Everything there is to test, from a clean Debian 12:
#
#     sh tests/run.sh              installs what is missing, builds into build/, runs all tests
#     sh tests/run.sh truth forks  only these
#
# The last line counts every test and check. CPROF_TEST_LONG=1 takes the truth tests' long form.
set -u

source_dir=$(cd "$(dirname "$0")/.." && pwd)
build=${BUILD:-$source_dir/build}
# Nothing is skipped silently: what a test needs and cannot find is a failure where we could have installed it.
[ "$(id -u)" -eq 0 ] && export CI="${CI:-true}"
export LC_ALL=C

me=run
. "$source_dir/tools/packages.sh"

need_for_tests() {
    need_program python3 python3
    need_program c++ g++
    need_program clang clang
    need_package libclang-rt-14-dev
    need_program gdb gdb
    need_program strace strace
    need_program xz xz-utils
    need_program curl curl
    need_program perl perl
    need_program git git
    need_program setpriv util-linux
    need_program redis-server redis-server
    need_program redis-cli redis-tools
    need_program nginx nginx-light
    need_program wrk wrk
    need_program sqlite3 sqlite3
    need_program openssl openssl
    need_program node nodejs
    need_program rustc rustc
    need_program cargo cargo
    need_program pg_ctlcluster postgresql
    need_program javac default-jdk-headless
    need_package libboost-context-dev
    need_package librust-parking-lot-dev
    need_package libcriterion-dev
    need_package gcc-multilib
    for package in libjemalloc2 libtcmalloc-minimal4 libgoogle-perftools4 libmimalloc2.0; do
        need_package "$package"
    done
}

build_all() {
    if [ -f "$build/build.ninja" ]; then
        meson configure "$build" -Dtests=true >/dev/null || die "meson configure failed"
    else
        say "setting up $build"
        meson setup "$build" "$source_dir" -Dtests=true || die "meson setup failed"
    fi
    say "building"
    ninja -C "$build" || die "the build failed"
}

# Criterion's and our scripts' summaries: "Synthesis: Tested: 5 | Passing: 4 | Failing: 1 | Crashing: 0". A test
# program that left none has crashed or hung as a whole, and counts as one failure.
count() {
    awk -v programs="$2" '
        /Synthesis: Tested:/ {
            gsub(/\033\[[0-9;]*m/, "")
            for (i = 1; i < NF; i++) {
                if ($i == "Passing:") passed += $(i + 1)
                if ($i == "Failing:" || $i == "Crashing:") failed += $(i + 1)
            }
            seen++
        }
        /\[SKIP\]/ { skipped++ }
        END {
            if (programs > seen) failed += programs - seen
            printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
        }' "$1"
}

need_for_build
need_for_tests
install_missing
build_all

say "testing"
programs=$(meson test -C "$build" --list "$@" 2>/dev/null | grep -c ' / ')
meson test -C "$build" --no-rebuild --print-errorlogs --num-processes 2 "$@"
status=$?
log=$build/meson-logs/testlog.txt
grep -e '\[FAIL\]' -e '\[SKIP\]' -e '\[CRASH\]' "$log"
line=$(count "$log" "$programs")
case $line in
0\ passed* | *" 0 failed, "*) [ "${line%% *}" != 0 ] && [ $status -eq 0 ] ;;
*) false ;;
esac
result=$?
echo "$line"
exit $result
