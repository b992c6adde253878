#!/bin/sh
# parking_lot_hog.sh ROUNDS: hog.rs with parking_lot's locks behind the names of the standard ones.
. "$(dirname "$0")/common.sh"
# Debian's package of the crate if it is there (tests/run.sh installs it), else what cargo fetches.
mkdir -p crate/src crate/.cargo
crates=/usr/share/cargo/registry
for crate in "$crates"/parking_lot-0.12*; do
    [ ! -d "$crate" ] || cat >crate/.cargo/config.toml <<TOML
[source.crates-io]
replace-with = "debian"
[source.debian]
directory = "$crates"
TOML
done
cat >crate/Cargo.toml <<'TOML'
[package]
name = "hog"
version = "0.0.0"
edition = "2018"
[dependencies]
parking_lot = "0.12"
[profile.release]
debug = 1
TOML
sed -e 's/use std::sync::{Arc, Mutex, RwLock};/use parking_lot::{Mutex, RwLock}; use std::sync::Arc;/' \
    -e 's/\.\(lock\|read\|write\)()\.unwrap()/.\1()/' "$(dirname "$0")/hog.rs" >crate/src/main.rs
(cd crate && cargo build -q --release) 2>cargo.txt || fail "$(cat cargo.txt)"
for lock in mutex rwlock; do
    cp crate/target/release/hog ./hog_$lock
    agent ./hog_$lock $lock "$1"
done
echo "hogs ended with $?"
