#!/bin/sh
# rust_hog.sh LOCK ROUNDS: hog.rs with the locks of the standard library.
. "$(dirname "$0")/common.sh"
rustc -O -C debuginfo=1 -o hog "$(dirname "$0")/hog.rs" 2>rustc.txt || fail "$(cat rustc.txt)"
agent ./hog "$1" "$2"
echo "hog ended with $?"
