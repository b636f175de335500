#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# ./run test [--preset=asan|tsan] [options]: the options are ctest's.
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# promtool alone, by which the alerts are tested: installing Debian's package as a whole would start a server.
fetch_promtool() {
    if [[ -x build/tools/promtool ]] || type -P promtool >/dev/null; then return 0; fi
    say "fetching promtool"
    mkdir -p build/tools
    (cd build/tools && apt-get download -qq prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb |
        tar x --strip-components=3 ./usr/bin/promtool) >&2 || say "promtool is not available"
    rm -f build/tools/prometheus_*.deb
}

preset=dev
if [[ ${1:-} == --preset=* ]]; then
    preset=${1#*=}
    shift
fi
if [[ $preset == dev ]]; then setup test; else setup sanitizers; fi
fetch_promtool
build "$preset" all
exec ctest --preset "$preset" "$@"
