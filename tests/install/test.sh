#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Builds a user's project against this library: installed, as a subdirectory, and by pkg-config; without what only its
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
    local log="$work/log.$BASHPID"
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

bare=(-DCMAKE_DISABLE_FIND_PACKAGE_librdkafka=ON -DCMAKE_DISABLE_FIND_PACKAGE_libdeflate=ON
    -DCMAKE_DISABLE_FIND_PACKAGE_OpenSSL=ON -DCMAKE_DISABLE_FIND_PACKAGE_prometheus-cpp=ON)

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

# consumers <name> <cmake option: where the library is>: one without components, and one with each.
consumers() {
    local name=$1 where=$2
    consumer "$name" consumer -- "$where" "${bare[@]}"
    consumer "$name-rdkafka" kafka_consumer -- "$where" -DWITH_RDKAFKA=ON
    consumer "$name-gzip" gzip_consumer -- "$where" -DWITH_GZIP=ON
    consumer "$name-tls" tls_consumer -- "$where" -DWITH_TLS=ON
    consumer "$name-prometheus" prometheus_consumer -- "$where" -DWITH_PROMETHEUS=ON
}
# Side by side; wait tells how the first ended, and so ends this script when it failed.
consumers added -DBULKHEAD_SOURCE="$source" &
added=$!
consumers found -DCMAKE_PREFIX_PATH="$work/prefix"
wait "$added"

# Without CMake, by pkg-config, from where the tree was moved to. Boost is the system's, for which there is no such file.
mv "$work/prefix" "$work/moved"
# by_pkg_config <package> <program>
by_pkg_config() {
    local flags
    read -ra flags <<<"$(PKG_CONFIG_PATH="$work/moved/share/pkgconfig" pkg-config --cflags --libs "$1")"
    quietly "${CXX:-c++}" -std=c++20 "$here/$2.cpp" "${flags[@]}" -o "$work/$2"
    printf 'pkg-config: %s: ' "$1"
    "$work/$2"
}
by_pkg_config bulkhead main
by_pkg_config bulkhead-rdkafka kafka
by_pkg_config bulkhead-gzip gzip
by_pkg_config bulkhead-tls tls
by_pkg_config bulkhead-prometheus prometheus
mv "$work/moved" "$work/prefix"

# What is lacking is said, and how it is had.
# refused <what is said> <cmake options>...
refused() {
    local words=$1
    shift
    rm -rf "$work/refused"
    if cmake -S "$here" -B "$work/refused" -G Ninja -DCMAKE_PREFIX_PATH="$work/prefix" "$@" >"$work/log" 2>&1 ||
        ! tr -s '\n ' ' ' <"$work/log" | grep -qiF "$words"; then
        cat "$work/log" && echo "install test: it was not said that: $words" && exit 1
    fi >&2
}
refused "its component rdkafka needs librdkafka 2.0.2 or newer. On Debian: apt-get install librdkafka-dev." \
    -DWITH_RDKAFKA=ON "${bare[@]}"
refused "its component gzip needs libdeflate 1.14 or newer. On Debian: apt-get install libdeflate-dev." \
    -DWITH_GZIP=ON "${bare[@]}"
refused "its component tls needs OpenSSL 3.0 or newer. On Debian: apt-get install libssl-dev." -DWITH_TLS=ON "${bare[@]}"
refused "its component prometheus needs prometheus-cpp. On Debian: apt-get install prometheus-cpp-dev." \
    -DWITH_PROMETHEUS=ON "${bare[@]}"
refused "it has no component zstd; it has rdkafka, gzip, tls, prometheus" -DMORE_COMPONENTS=zstd
refused "it needs Boost 1.81 or newer with its libraries JSON and URL. On Debian 12: apt-get install libboost1.81-dev" \
    -DCMAKE_DISABLE_FIND_PACKAGE_Boost=ON
refused "bulkhead needs Boost 1.81 or newer with its libraries JSON and URL. On Debian 12: apt-get install" \
    -DCMAKE_DISABLE_FIND_PACKAGE_Boost=ON -DBULKHEAD_SOURCE="$source"
echo "install test: passed"
