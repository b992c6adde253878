#!/bin/sh
# rust_hog.sh ROUNDS: hog.rs with the locks of the standard library.
. "$(dirname "$0")/common.sh"
rustc -O -C debuginfo=1 -o hog "$(dirname "$0")/hog.rs" 2>rustc.txt || fail "$(cat rustc.txt)"
for lock in mutex rwlock; do
    cp ./hog ./hog_$lock
    agent ./hog_$lock $lock "$1"
done
echo "hogs ended with $?"
