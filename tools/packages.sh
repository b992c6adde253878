# Sourced by tools/quickstart.sh and tests/run.sh, which set `me` to their name: what is missing on a Debian 12,
# and how it gets there.

say() { printf '%s\n' "$me: $*"; }
die() {
    printf '%s\n' "$me: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "these packages are missing, and there is no sudo to install them: $missing"
    fi
}

# has PACKAGE: true when it is installed.
has() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# A program that is on PATH counts, whatever package it came from.
missing=
need_program() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || missing="$missing $2"; }
need_package() { has "$1" || missing="$missing $1"; }

need_for_build() {
    need_program cc gcc
    need_program meson meson
    need_program ninja ninja-build
    need_program pkg-config pkg-config
    need_program protoc-c protobuf-c-compiler
    need_program go golang-go
    for package in libc6-dev libprotobuf-c-dev zlib1g-dev libelf-dev libunwind-dev; do
        need_package "$package"
    done
}

# A server that is installed for a test must not start as a service: exit status 101 of this policy says so.
policy=/usr/sbin/policy-rc.d
install_missing() {
    [ -n "$missing" ] || return 0
    say "installing:$missing"
    made_policy=
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
        as_root chmod +x $policy
        made_policy=yes
    fi
    installed=yes
    as_root apt-get -q update || installed=
    # shellcheck disable=SC2086 # one word per package
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $missing || installed=
    [ -z "$made_policy" ] || as_root rm -f $policy
    [ -n "$installed" ] || die "apt-get could not install:$missing"
}
