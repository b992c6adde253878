# Shared by the drivers of real programs. PRELOAD is the agent, or empty in the run that is compared with; what a
# driver prints must be the same in both. Sourced, not run.
set -eu

# Runs a program with the agent; nothing else here is preloaded.
agent() { env ${PRELOAD:+LD_PRELOAD="$PRELOAD"} "$@"; }

# The same for `start PROGRAM... &`: $! is the program itself then, and not a shell around it.
start() { exec env ${PRELOAD:+LD_PRELOAD="$PRELOAD"} "$@"; }

# What a driver that fails leaves running; by their numbers.
trap 'for pid in ${server:-} ${program:-} ${master:-} ${new:-}; do kill "$pid" 2>/dev/null || :; done' EXIT

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

fail() {
    echo "$*" >&2
    exit 1
}

# until_true SECONDS COMMAND...
until_true() {
    tries=$(($1 * 50))
    shift
    while ! "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "never came true: $*"
        sleep 0.02
    done
}

# How many profiles match a pattern.
profiles() { find . -name "$1" | wc -l; }
at_least() { [ "$(profiles "$1")" -ge "$2" ]; }

# dump PID SIGNAL: asks for a dump and waits until that process has written a file more.
dump() {
    [ -n "$PRELOAD" ] || return 0
    before=$(profiles "cprof-*-$1-cpu-*.pb.gz")
    kill "-$2" "$1"
    until_true 20 at_least "cprof-*-$1-cpu-*.pb.gz" $((before + 1))
}

# child_of PID: its first child.
child_of() { tr ' ' '\n' <"/proc/$1/task/$1/children" | head -n 1; }

# gone PID
gone() { ! kill -0 "$1"; }
