#!/bin/sh
# rust.sh MANGLING: legacy or v0.
. "$(dirname "$0")/common.sh"
# The oldest compilers take v0 with an unstable flag only.
rustc -O -C "symbol-mangling-version=$1" -o hot "$(dirname "$0")/hot.rs" 2>rustc.txt ||
    RUSTC_BOOTSTRAP=1 rustc -O -Z unstable-options -C "symbol-mangling-version=$1" -o hot "$(dirname "$0")/hot.rs"
start ./hot until-enough &
program=$!
dump_when_warm "$program"
wait "$program"
