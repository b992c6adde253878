#!/bin/sh
# Walks by our engine and by libunwind at the same instants, in programs of many kinds:
#     sh tests/agreement/run.sh BUILD [FOLDER]
# FOLDER keeps one file per program, with every place where the two parted. A program that is not installed is
# left out aloud.
set -u
build=$(cd "$1" && pwd)
folder=${2:-$(mktemp -d)}
mkdir -p "$folder"
source=$(cd "$(dirname "$0")" && pwd)
judge=$build/tests/libagreement.so
cd "$folder" || exit 2
rm -f ./*.txt

# under NAME COMMAND...: runs it with the judge
under() {
    label=$1
    shift
    command -v "$1" >/dev/null || { echo "$label: no $1 here" >&2; return; }
    timeout 120 env AGREEMENT="$folder/$label.txt" LD_PRELOAD="$judge" "$@" >"$label.out" 2>&1 </dev/null
}

for cc in gcc clang; do
    cxx=$(echo $cc | sed 's/gcc/g++/; s/clang/clang++/')
    for level in 2 3; do
        for fp in omit-frame-pointer no-omit-frame-pointer; do
            name=$cc-O$level-$fp
            $cc -O$level -f$fp -o "leaf-$name" "$source/leaf.c" && under "leaf-$name" "./leaf-$name" 60000
            $cxx -O$level -f$fp -o "throw-$name" "$source/throw.cc" &&
                under "throw-$name" "./throw-$name" 1000000
        done
    done
done
gcc -O2 -s -o leaf-stripped "$source/leaf.c" && under leaf-stripped ./leaf-stripped 60000
command -v rustc >/dev/null && rustc -O -o rust-hot "$source/../programs/hot.rs" 2>/dev/null && under rust ./rust-hot
under python "$(python3 -c 'import sys; print(sys.executable)')" "$source/../../bench/work.py"
under sqlite sqlite3 :memory: ".read $source/../../bench/work.sql"
under openssl openssl speed -seconds 1 aes-128-cbc sha256 sha512 rsa2048 ecdsap256
port=$((20000 + $$ % 20000))
under redis redis-server --port $port --bind 127.0.0.1 --save '' &
sleep 1
redis-benchmark -p $port -q -n 200000 -P 8 -t set,get,lpush,lrange_100 >/dev/null 2>&1
redis-cli -p $port shutdown nosave >/dev/null 2>&1
wait

cat ./*.txt | awk '
    $1 == "walks" { walks += $2; same += $4; ours += $6; theirs += $8 }
    END { printf "all: %d walks, %.3f %% the same, %.3f %% complete by our engine, %.3f %% by libunwind\n",
          walks, 100 * same / walks, 100 * ours / walks, 100 * theirs / walks }'
for file in ./*.txt; do
    awk -v name="$(basename "$file" .txt)" '
        $1 == "walks" { walks += $2; same += $4; ours += $6; theirs += $8 }
        END { printf "%-36s %7d walks  same %7.3f %%  complete %7.3f %% | %7.3f %%\n", name, walks, 100 * same / walks,
              100 * ours / walks, 100 * theirs / walks }' "$file"
done
