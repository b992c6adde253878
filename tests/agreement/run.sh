#!/bin/sh
# Walks by our engine and by libunwind at the same instants, in programs of many kinds:
#
#     sh tests/agreement/run.sh BUILD [FOLDER]              10,000 walks in each program
#     WALKS=500 sh tests/agreement/run.sh BUILD [FOLDER]    the quick form
#
# FOLDER keeps one file per program, with every place where the two parted. Programs are run again until there are
# walks enough. One that is not installed is left out aloud.
set -u
build=$(cd "$1" && pwd)
folder=${2:-$(mktemp -d)}
walks=${WALKS:-10000}
mkdir -p "$folder"
source=$(cd "$(dirname "$0")" && pwd)
judge=$build/tests/libagreement.so
attempts=200
cd "$folder" || exit 2
rm -f ./*.txt

# walked LABEL: how many walks its file counts
walked() { awk '$1 == "walks" { n += $2 } END { print n + 0 }' "$1.txt" 2>/dev/null || echo 0; }

judged() { timeout 300 env AGREEMENT="$folder/$label.txt" LD_PRELOAD="$judge" "$@" >"$label.out" 2>&1 </dev/null; }

# under LABEL COMMAND...: runs it with the judge
under() {
    label=$1
    shift
    command -v "$1" >/dev/null || { echo "$label: no $1 here" >&2; return; }
    for _ in $(seq $attempts); do
        judged "$@"
        [ "$(walked "$label")" -lt "$walks" ] || return 0
    done
    echo "$label: only $(walked "$label") walks" >&2
}

redis() {
    label=redis
    command -v redis-server >/dev/null || { echo "redis: no redis-server here" >&2; return; }
    for _ in $(seq $attempts); do
        port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
        judged redis-server --port "$port" --bind 127.0.0.1 --save '' &
        server=$!
        for _ in $(seq 300); do
            redis-cli -p "$port" ping >/dev/null 2>&1 && break
            sleep 0.1
        done
        timeout 250 redis-benchmark -p "$port" -q -n 200000 -P 8 -t set,get,lpush,lrange_100 >/dev/null 2>&1
        redis-cli -p "$port" shutdown nosave >/dev/null 2>&1
        wait "$server"
        [ "$(walked redis)" -lt "$walks" ] || return 0
    done
}

for cc in gcc clang; do
    cxx=$(echo $cc | sed 's/gcc/g++/; s/clang/clang++/')
    for level in 2 3; do
        for fp in omit-frame-pointer no-omit-frame-pointer; do
            name=$cc-O$level-$fp
            $cc -O$level -f$fp -o "leaf-$name" "$source/leaf.c" && under "leaf-$name" "./leaf-$name" 60000
            $cxx -O$level -f$fp -o "throw-$name" "$source/throw.cc" && under "throw-$name" "./throw-$name" 1000000
        done
    done
done
gcc -O2 -s -o leaf-stripped "$source/leaf.c" && under leaf-stripped ./leaf-stripped 60000
command -v rustc >/dev/null && rustc -O -o rust-hot "$source/../programs/hot.rs" 2>/dev/null && under rust ./rust-hot
under python "$(python3 -c 'import sys; print(sys.executable)')" "$source/../../bench/work.py"
under sqlite sqlite3 :memory: ".read $source/../../bench/work.sql"
under openssl openssl speed -seconds 2 -bytes 4096 aes-128-cbc sha256 sha512 rsa2048 ecdsap256
redis

# sums NAME FILE...
sums() {
    name=$1
    shift
    awk -v name="$name" '
        $1 == "walks" { walks += $2; same += $4; ours += $6; theirs += $8 }
        END { printf "%-36s %7d walks  %5d differ  same %7.3f %%  complete %7.3f %% | %7.3f %%\n", name, walks, walks - same,
              100 * same / walks, 100 * ours / walks, 100 * theirs / walks }' "$@"
}
for file in ./*.txt; do
    sums "$(basename "$file" .txt)" "$file"
done
sums all ./*.txt
