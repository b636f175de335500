#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# ./run setup [part]...: installs the packages that the machine lacks for these parts (apt, as root or through sudo).
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Debian 12's default Boost is too old; its newer one has the version in its name.
boost_packages() {
    local version=""
    if grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release; then version=1.81; fi
    echo "libboost$version-dev libboost-json$version-dev libboost-url$version-dev"
}

packages_for() {
    local build
    build="g++ cmake ninja-build pkg-config librdkafka-dev libssl-dev libdeflate-dev prometheus-cpp-dev $(boost_packages)"
    case "$1" in
    build) echo "$build" ;;
    demo) echo "$build libcli11-dev libspdlog-dev zlib1g-dev" ;;
    test) echo "$build libcli11-dev libspdlog-dev zlib1g-dev catch2 python3" ;;
    engines) echo "$(packages_for demo) python3" ;; # Java and Maven: engines.py, which can do without
    coverage) echo "$(packages_for test) gcovr" ;;
    bench) echo "$(packages_for demo) openssl libbenchmark-dev libcurl4-openssl-dev gnuplot-nox python3" ;;
    format) echo "clang-format-14" ;;
    docs) echo "doxygen python3 python3-markdown" ;;
    lint) echo "$(packages_for test) $(packages_for docs) clang-14 clang-format-14 clang-tidy-14 shellcheck" ;;
    packages) echo "$build python3 python3-venv" ;;
    compat) echo "$(packages_for test) debootstrap python3-venv" ;;
    sanitizers) echo "$(packages_for test) clang-14 libclang-rt-14-dev llvm-14" ;;
    *) die "setup: unknown part '$1' (build, demo, test, engines, bench, lint or sanitizers)" ;;
    esac
}

# cannot_install <why> <package>...
cannot_install() {
    local why=$1
    shift
    cat >&2 <<TEXT
run: cannot install here ($why). Install what these Debian packages hold:
    $*
that is: a C++20 compiler (GCC 12 or Clang 14), CMake 3.24, Ninja, Boost 1.81 (headers, JSON, URL), librdkafka 2.0.2,
OpenSSL 3, libdeflate 1.14, prometheus-cpp, and for the tests Catch2, for the demo CLI11, spdlog and zlib. Then set
BULKHEAD_SKIP_SETUP=1 and run this again.
TEXT
    exit 1
}

is_installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

[[ $# -gt 0 ]] || set -- lint bench sanitizers
wanted=() missing=()
for part in "$@"; do
    list=$(packages_for "$part") || exit 1
    read -ra list <<<"$list"
    wanted+=("${list[@]}")
done
for package in "${wanted[@]}"; do
    if ! is_installed "$package" && [[ " ${missing[*]} " != *" $package "* ]]; then missing+=("$package"); fi
done
[[ ${#missing[@]} -gt 0 && -z ${BULKHEAD_SKIP_SETUP:-} ]] || exit 0

as_root=()
if [[ $EUID -ne 0 ]]; then as_root=(sudo); fi
if ! command -v apt-get >/dev/null || { [[ $EUID -ne 0 ]] && ! command -v sudo >/dev/null; }; then
    cannot_install "apt-get as root, or sudo, is needed" "${missing[@]}"
fi
say "installing: ${missing[*]}"
mkdir -p build
if ! { "${as_root[@]}" apt-get update -qq -o Acquire::Retries=3 &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Acquire::Retries=3 \
        --no-install-recommends "${missing[@]}"; } >build/setup.log 2>&1; then
    grep -m 3 '^E: ' build/setup.log >&2 || tail -n 3 build/setup.log >&2
    cannot_install "apt-get failed, perhaps because there is no network; its output is in build/setup.log" "${missing[@]}"
fi
