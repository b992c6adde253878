#!/bin/sh
# A hog (hosts/hog.c) under strace, which writes its futex calls, with what each took, to traces/hog.txt.
. "$(dirname "$0")/common.sh"
mkdir -p "${TRACES:=traces}"
agent "$HOSTS/hog" mutex 30
echo "hog ended with $?"
