#!/bin/sh
# heap_preload.sh before|after LIBRARY PROGRAM...: the library stands before the agent in LD_PRELOAD, or after it.
. "$(dirname "$0")/common.sh"
order=$1 library=$2
shift 2
case $order in
before) list=$library${PRELOAD:+:$PRELOAD} ;;
after) list=${PRELOAD:+$PRELOAD:}$library ;;
esac
[ -z "$PRELOAD" ] || export E2E_AGENT=1
status=0
LD_PRELOAD=$list "$@" || status=$?
echo "ended with $status"
exit "$status"
