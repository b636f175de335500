#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# What `run` and the scripts beside this one share. Sourced; it changes to the root of the repository.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
die() {
    printf 'run: %s\n' "$*" >&2
    exit 1
}

setup() { tools/setup.sh "$@"; }

# build <preset> <target>...: shows Ninja's own line on a terminal; elsewhere keeps a log and shows it on failure.
build() {
    local preset=$1 log="build/$1.log" began=$SECONDS
    shift
    mkdir -p build
    say "building $* ($preset; the log is $log)"
    if ! cmake --preset "$preset" >"$log" 2>&1; then
        cat "$log" >&2
        die "configuring failed"
    fi
    if [[ -t 2 ]]; then
        cmake --build --preset "$preset" --target "$@" >&2 || die "building failed"
    elif ! cmake --build --preset "$preset" --target "$@" >>"$log" 2>&1; then
        grep -v '^\[' "$log" | tail -n 200 >&2
        die "building failed"
    fi
    say "built in $((SECONDS - began)) s"
}

# exec_after_setup <part> <command>...
exec_after_setup() {
    setup "$1"
    exec "${@:2}"
}

# exec_built <part> <target>[,<target>]... <command>...: the targets are built by the preset `release`.
exec_built() {
    local targets
    IFS=, read -ra targets <<<"$2"
    setup "$1"
    build release "${targets[@]}"
    exec "${@:3}"
}

# our_files <find's conditions>: the repository's own files, NUL-terminated.
our_files() { find . \( -path ./build -o -path ./.git \) -prune -o -type f \( "$@" \) -print0; }
our_sources() { our_files -name '*.hpp' -o -name '*.cpp'; }
our_scripts() { our_files -name '*.sh' -o -path ./run -o -path ./.ci/run; }
our_text() { our_files -true; }
