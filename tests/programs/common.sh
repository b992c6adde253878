# Shared by the drivers of real programs. PRELOAD is the agent, or empty in the run that is compared with; what a
# driver prints must be the same in both. Sourced, not run.
set -eu

# Runs a program with the agent; nothing else here is preloaded.
agent() { (start "$@"); }

# The same for `start PROGRAM... &`: $! is the program itself then, and not a shell or a tracer (-D) around it. With
# TRACES, a folder, strace writes all futex calls of each program there (bench/futex_waits.py).
start() {
    [ -z "${TRACES:-}" ] || exec strace -D -f -q -Y -ttt -T ${TRACE_OPTIONS:-} -e trace=futex -e signal=none \
        -o "$TRACES/${1##*/}.txt" ${PRELOAD:+-E LD_PRELOAD="$PRELOAD"} "$@"
    exec env ${PRELOAD:+LD_PRELOAD="$PRELOAD"} "$@"
}

# What a driver that fails leaves running; by their numbers.
trap 'for pid in ${server:-} ${program:-} ${master:-} ${new:-}; do kill "$pid" 2>/dev/null || :; done' EXIT

# Not among those that the kernel hands out by itself, and begun with our own number, which no other driver that
# runs now has: nobody is likely to take it before the server does.
free_port() {
    python3 -c '
import socket, sys
port = int(sys.argv[1])
while True:
    port = 10000 + (port + 7919) % 22000
    try:
        socket.socket().bind(("127.0.0.1", port))
        print(port)
        break
    except OSError:
        pass' $$
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
    until_true 300 at_least "cprof-*-$1-cpu-*.pb.gz" $((before + 1))
}

# A program that is dumped in its middle makes the file `warm` when it has burned enough to be worth a look, and goes
# on until there is a file `enough`: however fast or busy the machine, it is there when it is asked.
dump_when_warm() {
    until_true 300 test -e warm
    dump "$1" USR2
    : >enough
}

# cpu_of PID: what a process has burned, in hundredths of a second.
cpu_of() {
    read -r stat <"/proc/$1/stat"
    # shellcheck disable=SC2086 # one word per number
    set -- ${stat##*) }
    echo $((${12} + ${13}))
}

# busiest_child_of PID
busiest_child_of() {
    for child in $(cat "/proc/$1/task/$1/children"); do
        echo "$(cpu_of "$child") $child"
    done | sort -n | tail -n 1 | cut -d ' ' -f 2
}

# burns PID HUNDREDTHS: whether it has burned that much.
burns() { [ "$(cpu_of "$1")" -ge "$2" ]; }

# gone PID
gone() { ! kill -0 "$1"; }
