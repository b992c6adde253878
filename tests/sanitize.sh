#!/bin/sh
# Everything that can run under AddressSanitizer and UndefinedBehaviorSanitizer: the modules' tests and the command's.
# (The library itself cannot be preloaded that way: the sanitizer's runtime must come first.)
#
#     sh tests/sanitize.sh         builds into build-sanitize/
set -eu
cd "$(dirname "$0")/.."
build=${BUILD:-build-sanitize}
[ -f "$build/build.ninja" ] ||
    meson setup "$build" -Dbench=false -Db_sanitize=address,undefined -Db_lundef=false
ninja -C "$build"
# Criterion 2.4.1 itself leaves 48 bytes behind, now and then.
suppressions=$(mktemp)
trap 'rm -f "$suppressions"' EXIT
echo 'leak:libcriterion' >"$suppressions"
# house, run and dump look at or preload the library as it is shipped. unwind_cfi reads other functions' frames, which
# is what AddressSanitizer forbids, and single-steps through them.
tests=$(meson test -C "$build" --list --suite unit --suite command 2>/dev/null | sed -n 's/.* \/ //p' |
    grep -v -x -e house -e cmd_run -e cmd_dump -e unwind_cfi)
# shellcheck disable=SC2086 # one word per test
LSAN_OPTIONS="suppressions=$suppressions:print_suppressions=0" \
    UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
    meson test -C "$build" --no-rebuild --print-errorlogs $tests
