#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# What including us costs: seconds to compile (the least of three) and lines after the preprocessor, beside the Boost
# headers that are included anyway. Usage: benchmarks/compile_time.sh [compiler]...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ $# -gt 0 ]] || set -- g++ clang++-14
source=$(mktemp --suffix=.cpp)
trap 'rm -f "$source"' EXIT

# row <compiler> <name> <includes>...
row() {
    local compiler=$1 name=$2 began best=999999 took lines
    shift 2
    printf '#include <%s>\n' "$@" >"$source"
    for _ in 1 2 3; do
        began=$(date +%s%N)
        "$compiler" -std=c++20 -O0 -Iinclude -c "$source" -o /dev/null
        took=$((($(date +%s%N) - began) / 1000000))
        if ((took < best)); then best=$took; fi
    done
    lines=$("$compiler" -std=c++20 -Iinclude -E -P "$source" | wc -l)
    printf '| %-10s | %-42s | %6d ms | %7d |\n' "$compiler" "$name" "$best" "$lines"
}

echo "| compiler   | include                                    | compiling | lines |"
echo "|------------|--------------------------------------------|----------:|------:|"
for compiler; do
    command -v "$compiler" >/dev/null || continue
    row "$compiler" "Boost.Asio, Beast's HTTP, JSON and URL" boost/asio.hpp boost/beast/core.hpp boost/beast/http.hpp \
        boost/json.hpp boost/url.hpp
    row "$compiler" "bulkhead/bulkhead.hpp" bulkhead/bulkhead.hpp
    row "$compiler" "bulkhead/batch.hpp alone" bulkhead/batch.hpp
    row "$compiler" "bulkhead/kafka/source.hpp alone" bulkhead/kafka/source.hpp
done
