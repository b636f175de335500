#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Builds a user's project against this library: installed, and as a subdirectory; without what only its
# components need, and with each of them.
# Usage: test.sh [an empty or missing directory to work in]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source=$(cd "$here/../.." && pwd)
if [[ $# -gt 0 ]]; then
    mkdir -p "$1"
    work=$(cd "$1" && pwd)
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi

# quietly <command>...: shows the output only when the command fails.
quietly() {
    local log="$work/log"
    "$@" >"$log" 2>&1 || { cat "$log" && echo "install test: failed: $*" && exit 1; } >&2
}

# consumer <name> <program>... -- <cmake options>: configures, builds and runs.
consumer() {
    local name=$1 programs=() program
    shift
    while [[ $1 != -- ]]; do
        programs+=("$1")
        shift
    done
    shift
    quietly cmake -S "$here" -B "$work/$name" -G Ninja -Werror=dev "$@"
    quietly cmake --build "$work/$name" --target "${programs[@]}"
    for program in "${programs[@]}"; do
        printf '%s: %s: ' "$name" "$program"
        "$work/$name/$program"
    done
}

bare=(-DCMAKE_DISABLE_FIND_PACKAGE_librdkafka=ON -DCMAKE_DISABLE_FIND_PACKAGE_libdeflate=ON)

quietly cmake -S "$source" -B "$work/build" -G Ninja -DCMAKE_INSTALL_PREFIX="$work/prefix" "${bare[@]}" \
    -DBULKHEAD_BUILD_TESTS=OFF -DBULKHEAD_BUILD_EXAMPLES=OFF -DBULKHEAD_BUILD_BENCHMARKS=OFF
quietly cmake --install "$work/build"
rm -rf "$work/build"

headers_in() { (cd "$1" && find bulkhead -name '*.hpp' | sort); }
diff <(headers_in "$source/include") <(headers_in "$work/prefix/include")
[[ -n $(find "$work/prefix" -name LICENSE) ]]
if grep -rF "$source" "$work/prefix"; then
    echo "install test: what is installed names the source directory" >&2
    exit 1
fi

consumer found consumer -- -DCMAKE_PREFIX_PATH="$work/prefix" "${bare[@]}"
consumer found-rdkafka kafka_consumer -- -DCMAKE_PREFIX_PATH="$work/prefix" -DWITH_RDKAFKA=ON
consumer found-gzip gzip_consumer -- -DCMAKE_PREFIX_PATH="$work/prefix" -DWITH_GZIP=ON
consumer added consumer -- -DBULKHEAD_SOURCE="$source" "${bare[@]}"
consumer added-rdkafka kafka_consumer -- -DBULKHEAD_SOURCE="$source" -DWITH_RDKAFKA=ON
consumer added-gzip gzip_consumer -- -DBULKHEAD_SOURCE="$source" -DWITH_GZIP=ON

# What a component lacks is said.
if cmake -S "$here" -B "$work/lacking" -G Ninja -DCMAKE_PREFIX_PATH="$work/prefix" -DWITH_GZIP=ON "${bare[@]}" \
    >"$work/log" 2>&1 || ! tr -s '\n ' ' ' <"$work/log" | grep -q 'Its component gzip needs libdeflate'; then
    cat "$work/log" && echo "install test: a missing libdeflate was not noticed" && exit 1
fi >&2
echo "install test: passed"
