#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# clang-tidy over all headers, the simulators and all examples, in five units: most of a unit's cost is Boost, which each
# parses and matches again. No tests: too slow, and Catch2's macros are noisy.
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# One unit of several programs, each in a namespace of its own, after all their includes.
tidy_programs() {
    local program
    for program in "$@"; do
        sed -nE "s,^#include \"(.*)\",#include \"$PWD/$(dirname "$program")/\1\",p; /^#include </p" "$program"
    done | sort -u
    for program in "$@"; do
        printf 'namespace of_%s {\n#include "%s"\n}\n' "${program//[\/.]/_}" "$PWD/$program"
    done
}

shopt -s globstar
folder=build/tidy
rm -rf "$folder"
mkdir -p "$folder"
mapfile -t programs < <(grep -lE '\bmain\(' examples/**/*.cpp)
mapfile -t parts < <(grep -LE '\bmain\(' examples/**/*.cpp)
(cd include && find bulkhead -name '*.hpp' && cd ../tests && find simulation -name '*.hpp') | sort |
    sed 's/.*/#include <&>/' >"$folder/headers.cpp"
tidy_programs "${programs[@]:0:${#programs[@]}/2}" >"$folder/programs_1.cpp"
tidy_programs "${programs[@]:${#programs[@]}/2}" >"$folder/programs_2.cpp"
printf "#include \"$PWD/%s\"\n" "${parts[@]:0:${#parts[@]}/2}" >"$folder/parts_1.cpp"
printf "#include \"$PWD/%s\"\n" "${parts[@]:${#parts[@]}/2}" >"$folder/parts_2.cpp"
printf '%s\n' -std=c++20 "-I$PWD/include" "-I$PWD/tests" "-I$PWD/examples" >"$folder/compile_flags.txt"
pkg-config --cflags spdlog | xargs printf '%s\n' >>"$folder/compile_flags.txt"
printf '%s\n' "$folder"/*.cpp |
    xargs -P 2 -n 1 clang-tidy-14 --quiet --checks=-bugprone-suspicious-include 2>/dev/null
