#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Both tools are installed, and say their versions. [F272] Usage: tools.sh BUILD_DIRECTORY
set -euo pipefail
build=${1:?usage: tools.sh BUILD_DIRECTORY}
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
cmake --install "$build" --prefix "$prefix" >/dev/null
for tool in kafka_replay dead_letters; do
    said=$("$prefix/bin/$tool" --version)
    head -n 1 <<<"$said"
    grep -Eq "^$tool [0-9]+\.[0-9]+\.[0-9]+$" <<<"$said"
    grep -Eq "^Boost 1\.[0-9]+\.[0-9]+$" <<<"$said"
    grep -Eq "^OpenSSL [0-9]" <<<"$said"
    [[ $tool == dead_letters ]] || grep -Eq "^librdkafka [0-9]" <<<"$said"
done
