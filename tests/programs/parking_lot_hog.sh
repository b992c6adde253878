#!/bin/sh
# parking_lot_hog.sh ROUNDS: hog.rs with parking_lot's locks behind the names of the standard ones.
. "$(dirname "$0")/common.sh"
mkdir -p crate/src
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
cargo build -q --release --manifest-path crate/Cargo.toml 2>cargo.txt || fail "$(cat cargo.txt)"
for lock in mutex rwlock; do
    cp crate/target/release/hog ./hog_$lock
    agent ./hog_$lock $lock "$1"
done
echo "hogs ended with $?"
