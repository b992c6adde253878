#!/bin/sh
# xz with three threads, which get their blocks from the main thread and wait for the next.
. "$(dirname "$0")/common.sh"
seq 3000000 | awk '{ print ($1 * 7919) % 3000017 }' >numbers.txt
agent xz -1 -k -T 3 --block-size=1MiB numbers.txt
xz -dc numbers.txt.xz | cksum
echo "xz ended with $?"
