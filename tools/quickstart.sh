#!/bin/sh
# From a clean Debian 12 to the first profile:
#
#     sh tools/quickstart.sh                      profiles examples/demo for five seconds
#     sh tools/quickstart.sh PROGRAM ARGUMENTS    profiles your program
#
# Installs what is missing, builds into build/, runs the program under `cprof run`, prints the functions that
# cost most. The profiles go to a new folder below ./cprof-out.
set -eu

source_dir=$(cd "$(dirname "$0")/.." && pwd)
build=$source_dir/build

me=quickstart
. "$source_dir/tools/packages.sh"

# Tests need more packages; tests/run.sh turns them on.
build_all() {
    if [ ! -f "$build/build.ninja" ]; then
        say "setting up $build"
        meson setup "$build" "$source_dir" -Dtests=false -Dbench=false >"$build.log" 2>&1 || {
            cat "$build.log" >&2
            die "meson setup failed"
        }
        rm -f "$build.log"
    fi
    say "building"
    ninja -C "$build" --quiet || die "the build failed"
}

need_for_build
install_missing
build_all

out=cprof-out/$(date -u +%Y%m%dT%H%M%SZ)-$$
mkdir -p "$out"
if [ $# -eq 0 ]; then
    set -- "$build/examples/demo" 5
fi

say "running: $*"
status=0
CPROF_EXIT=${CPROF_EXIT:-term} "$build/tools/cprof" run -o "$out/" -- "$@" || status=$?
say "the program ended with status $status"

# The largest first: a shell that starts the real work has a file too.
files_of() { ls -S "$out" | grep -e "-$1-.*\.pb\.gz\$" | sed "s|^|$out/|" || true; }
# shellcheck disable=SC2046 # no name of ours has blanks
show() { # kind, lines, what it shows
    set -- "$1" "$2" "$3" $(files_of "$1")
    [ $# -gt 3 ] || return 0
    lines=$2
    printf '\n%s\n\n' "$3"
    shift 3
    go tool pprof -top -nodecount="$lines" "$@" 2>/dev/null || "$build/tools/cprof" top -n "$lines" "$@"
}

first=$(files_of cpu | head -1)
if [ -z "$first" ]; then
    say "no CPU profile was written; what is in the way:"
    "$build/tools/cprof" doctor || true
    exit 1
fi
show cpu 15 "Where CPU time went:"
show heap 5 "Who holds memory that was not freed:"
show mutex 5 "Who held the locks that others waited for:"

printf '\nFiles in %s:\n' "$out"
ls "$out" | sed 's/^/    /'
cat <<EOF

Next:
    $build/tools/cprof tree $first
    go tool pprof -http=localhost:8000 $first
    $build/tools/cprof run PROGRAM ARGUMENTS
    $build/tools/cprof help
EOF
exit "$status"
