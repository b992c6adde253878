#!/bin/sh
# allocator.sh LIBRARY OPERATIONS SECONDS: hosts/churn with that allocator, in front of the agent and behind it.
. "$(dirname "$0")/common.sh"
library=
for f in /usr/lib/*/$1 /usr/lib/$1; do
    if [ -e "$f" ]; then library=$f; fi
done
[ -n "$library" ] || fail "no $1"
timeout 120 env LD_PRELOAD="${PRELOAD:+$PRELOAD:}$library" "$HOSTS/churn" "$2" "$3"
timeout 120 env LD_PRELOAD="$library${PRELOAD:+:$PRELOAD}" "$HOSTS/churn" "$2" "$3"
