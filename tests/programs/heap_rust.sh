#!/bin/sh
# A Rust program that leaks.
. "$(dirname "$0")/common.sh"
rustc -O -o heap_leak "$(dirname "$0")/heap_leak.rs" 2>rustc.txt
agent ./heap_leak
