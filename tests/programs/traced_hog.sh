#!/bin/sh
# The futex calls of a hog (hosts/hog.c), with what each took, in the file futex.txt.
. "$(dirname "$0")/common.sh"
strace -f -q -T -e trace=futex -e signal=none -o futex.txt ${PRELOAD:+-E LD_PRELOAD="$PRELOAD"} "$HOSTS/hog" mutex 30
echo "hog ended with $?"
