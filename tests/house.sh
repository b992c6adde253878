#!/bin/sh
# The rules of the house that a machine can check (docs/architecture.md): sh tests/house.sh SOURCE BUILD
set -u
export LC_ALL=C

source_dir=$1
build=$2
so=$build/preload/libcprof.so
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
touch "$tmp/passed" "$tmp/failed"

# check NAME: reads complaints; none is a pass.
check() {
    cat >"$tmp/complaints"
    if [ -s "$tmp/complaints" ]; then
        echo "[FAIL] house::$1" | tee -a "$tmp/failed"
        sed 's/^/    /' "$tmp/complaints"
    else
        echo "[PASS] house::$1" | tee -a "$tmp/passed"
    fi
}

cd "$source_dir" || exit 2

# FOLDER and the floors it may include, itself among them.
while read -r folder allowed; do
    grep -Hno '^#include "[^"]*"' "$folder"/*.[ch] 2>/dev/null | while IFS=: read -r file line include; do
        target=${include#*\"}
        target=${target%\"}
        case $target in
        */*) floor=${target%%/*} ;;
        *) floor=$folder ;;
        esac
        case " $allowed " in
        *" $floor "*) ;;
        *) echo "$file:$line: $folder/ may not include $target" ;;
        esac
    done
done >"$tmp/layers" <<'FLOORS'
common common
proto proto common
symbols symbols common
agent agent symbols proto common
preload preload agent common
tools tools symbols proto common
include include
examples examples include
FLOORS
check includes_point_downwards <"$tmp/layers"

for header in common/*.h proto/*.h symbols/*.h agent/*.h preload/*.h tools/*.h include/*.h; do
    case $header in *sys-aarch64.h | *sys-x86_64.h | proto/index.h) continue ;; esac
    grep -q '^#pragma once' "$header" || grep -q '^#ifndef CPROF_H' "$header" || echo "$header: no #pragma once"
    ${CC:-cc} -fsyntax-only -std=gnu11 -D_GNU_SOURCE -I. -include "$header" -x c /dev/null 2>&1 | head -3
done | check headers_compile_alone

# Undefined symbols of common/ and agent/, object by object, against the list.
grep -v '^#' tests/allowed_libc_symbols.txt >"$tmp/allowed"
for folder in common agent symbols proto; do
    nm -A --defined-only "$build/$folder/lib$folder.a" 2>/dev/null
done | awk '{print $NF}' | sort -u >"$tmp/ours"
for folder in common agent; do
    nm -A --undefined-only "$build/$folder/lib$folder.a" 2>/dev/null
done | awk '{n = split($0, part, /[:\/ ]+/); object = ""; for (i = 1; i <= n; i++) if (part[i] ~ /\.o$/) object = part[i];
             print part[n], object}' | sort -u >"$tmp/wanted"
awk -v ours="$tmp/ours" -v allowed="$tmp/allowed" '
    BEGIN {
        while ((getline line < ours) > 0) known[line] = 1
        while ((getline line < allowed) > 0) {
            if (split(line, f, /[ \t]+/) == 1 || f[2] == "") any[f[1]] = 1; else one[f[1], f[2]] = 1
        }
    }
    !($1 in known) && !($1 in any) && !(($1, $2) in one) { print $2 " takes " $1 " from libc" }' "$tmp/wanted" |
    check agent_takes_nothing_from_libc_that_allocates_or_locks
[ -s "$tmp/wanted" ] || echo "no objects under $build" | check objects_were_read

# Exports: the rows of preload/real.h, cprof_* of include/cprof.h, nothing else.
printf '#include "preload/real.h"\n#define REAL(type, name, params, args, version) door name\nREALS(REAL)\n' |
    ${CC:-cc} -E -P -D_GNU_SOURCE -I. -x c - 2>"$tmp/cc" | tr ' ' '\n' | grep -A1 '^door$' | grep -v -e '^door$' -e '^--$' |
    sort -u >"$tmp/rows"
[ -s "$tmp/rows" ] || cat "$tmp/cc"
nm -D --defined-only "$so" | awk '$(NF - 1) != "A" {print $NF}' | sed 's/@.*//' | sort -u >"$tmp/exports"
{
    grep -v '^cprof_' "$tmp/exports" | comm -13 "$tmp/rows" - | sed 's/$/: exported, but no row of preload\/real.h/'
    comm -23 "$tmp/rows" "$tmp/exports" | sed 's/$/: a row of preload\/real.h, but not exported/'
    [ -s "$tmp/rows" ] || echo "preload/real.h has no rows"
    grep '^cprof_' "$tmp/exports" | while read -r name; do
        grep -q "\"$name\"\|$name(" include/cprof.h || echo "$name: exported, but not in include/cprof.h"
    done
} | check exports_are_the_rows_of_real_h

readelf -dW "$so" >"$tmp/dynamic"
grep NEEDED "$tmp/dynamic" | grep -v -e '\[libc\.so\.6\]' -e '\[ld-linux' | check needs_libc_only
{
    grep -q 'NEEDED.*libc\.so\.6' "$tmp/dynamic" || echo "libc.so.6 is not needed"
    grep TEXTREL "$tmp/dynamic"
    grep -q 'NODELETE' "$tmp/dynamic" || echo "not NODELETE"
    grep -q 'NOW' "$tmp/dynamic" || echo "not NOW"
    grep -e RPATH -e RUNPATH "$tmp/dynamic"
} | check no_text_relocation_and_never_unloaded

readelf -lW "$so" >"$tmp/segments"
{
    grep -q GNU_STACK "$tmp/segments" || echo "no GNU_STACK"
    grep GNU_STACK "$tmp/segments" | grep RWE
    grep -q GNU_RELRO "$tmp/segments" || echo "no GNU_RELRO"
    grep LOAD "$tmp/segments" | grep RWE
} | check no_executable_stack

awk '$1 == "TLS" { print $6 }' "$tmp/segments" | while read -r size; do
    [ $((size)) -le 128 ] || echo "TLS segment of $((size)) bytes"
done | check thread_local_storage_is_128_bytes
readelf -rW "$so" | grep -e DTPMOD -e TLSDESC -e __tls_get_addr | check thread_local_storage_is_initial_exec

nm -D --undefined-only "$so" | awk '{print $NF}' | sed 's/@.*//' |
    grep -x -e __tls_get_addr -e 'f\?printf' -e 'f\?puts' -e 'fopen.*' -e 'fwrite' -e stdout -e stderr -e stdin -e backtrace \
        -e 'strn\?dup' -e 'v\?asprintf' -e 'get\(line\|delim\)' -e realpath -e exit -e abort -e environ -e __environ -e vfork -e clone | check core_has_no_stdio_and_no_abort

find common proto symbols agent preload tools include examples tests bench \( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' \) \
    -exec wc -l {} + | awk '$2 != "total" && $1 > 600 { print $2 ": " $1 " lines" }' | check no_file_above_600_lines

grep -rnE '\b(TO''DO|FIX''ME|X''XX)\b' common proto symbols agent preload tools include examples tests bench docs \
    --include='*.[ch]' --include='*.sh' --include='*.py' --include='*.md' --include='meson.build' | check nothing_is_left_to_do

# The first words of a file say which zone it belongs to.
for file in agent/*.h preload/*.[ch]; do
    sed -n 1,6p "$file" | grep -qE '\b(HOT|ANYWHERE|CALM)\b' || echo "$file: no zone in its first lines"
done | check files_say_their_zone

for file in common/*.c proto/*.c symbols/*.c agent/*.c preload/*.c; do
    case $file in common/sys.c) continue ;; esac
    grep -HnE '^#[ ]*(if|ifdef|ifndef|elif)\b' "$file"
done | check no_conditional_code_outside_of_sys

for script in tests/run.sh tests/house.sh tools/quickstart.sh; do
    sh -n "$script" 2>&1
done | check scripts_parse

passed=$(wc -l <"$tmp/passed")
failed=$(wc -l <"$tmp/failed")
echo "[====] Synthesis: Tested: $((passed + failed)) | Passing: $passed | Failing: $failed | Crashing: 0"
[ "$failed" -eq 0 ]
