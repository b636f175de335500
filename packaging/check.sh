#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# check.sh WORK: what can be tried of the packages without their remotes. The vcpkg port: its files, and a dry install with
# the options that its portfile passes, against which its example is built. The Conan recipe: `conan create` against the
# system's packages, bare and with every option. The program of docs/start.md, against both. Conan comes from PyPI into
# WORK; where it cannot be had, its part is skipped, or fails when CI is set.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mkdir -p "${1:?usage: check.sh WORK}"
work=$(cd "$1" && pwd)

# quietly <command>...: shows the output only when the command fails.
quietly() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log" && echo "packages: failed: $*" && exit 1; } >&2
}

python3 "$source/packaging/agree.py"

vcpkg=$source/packaging/vcpkg
rm -rf "$work/vcpkg"
mapfile -t options < <(grep -oE -- '-D[A-Z_]+=[A-Z]+' "$vcpkg/ports/bulkhead/portfile.cmake")
quietly cmake -S "$source" -B "$work/vcpkg/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_INSTALL_PREFIX="$work/vcpkg/prefix" "${options[@]}"
quietly cmake --install "$work/vcpkg/build"
[[ -d $work/vcpkg/prefix/$(sed -n 's/.*CONFIG_PATH \(.*\))/\1/p' "$vcpkg/ports/bulkhead/portfile.cmake") ]]
quietly cmake -S "$vcpkg/example" -B "$work/vcpkg/example" -G Ninja -DCMAKE_PREFIX_PATH="$work/vcpkg/prefix"
quietly cmake --build "$work/vcpkg/example"
printf "vcpkg's example, against a dry install: "
"$work/vcpkg/example/example"

# block <language> <text>: the block of docs/start.md in this language that holds the text.
block() {
    awk -v open="\`\`\`$1" -v text="$2" '$0 == open {inside = 1; code = ""; next}
        /^\`\`\`/ {if (inside && index(code, text)) {printf "%s", code; exit}; inside = 0}
        inside {code = code $0 "\n"}' "$source/docs/start.md"
}
# first_program <folder> <option>...: builds the program of docs/start.md and sees it say that nobody listens.
first_program() {
    local folder=$1 said
    quietly cmake -S "$work/first" -B "$folder" -G Ninja "${@:2}"
    quietly cmake --build "$folder"
    if said=$("$folder/first" http://127.0.0.1:1 2>&1) || [[ $said != *"0 indexed"* ]]; then
        echo "packages: the program of docs/start.md said: $said" >&2
        exit 1
    fi
}
rm -rf "$work/first"
mkdir "$work/first"
block cpp "int main" >"$work/first/main.cpp"
block cmake "find_package(bulkhead REQUIRED) #" >"$work/first/CMakeLists.txt"
block ini '[requires]' >"$work/first/conanfile.txt"
first_program "$work/first/installed" -DCMAKE_PREFIX_PATH="$work/vcpkg/prefix"
echo "docs/start.md's program builds against an install"

conan=$work/venv/bin/conan
if [[ ! -x $conan ]]; then
    if ! { python3 -m venv "$work/venv" && "$work/venv/bin/pip" install --quiet --disable-pip-version-check \
        --requirement "$source/packaging/conan/requirements.txt"; } >"$work/log" 2>&1; then
        rm -rf "$work/venv"
        tail -n 5 "$work/log" >&2
        [[ -z ${CI:-} ]] || exit 1
        echo "Conan: skipped, since it cannot be had here"
        exit
    fi
fi
export CONAN_HOME=$work/conan
quietly "$conan" profile detect --force
# create <option>...
create() {
    local chosen=()
    for option in "$@"; do chosen+=(--options "&:$option=True"); done
    quietly "$conan" create "$source" --profile:all "$source/packaging/conan/system.profile" --no-remote \
        --conf "tools.cmake.cmake_layout:test_folder=$work/conan-test" "${chosen[@]}"
    printf 'conan create %s: ' "${*:-(no option)}"
    grep -E '^(accepted|librdkafka [0-9]|OpenSSL|[0-9]+ bytes)' "$work/log" | paste -sd ';'
}
create
create tls gzip rdkafka prometheus
quietly "$conan" install "$work/first" --output-folder="$work/first/conan" -s build_type=Release --no-remote \
    --profile:all "$source/packaging/conan/system.profile"
first_program "$work/first/conan" -DCMAKE_TOOLCHAIN_FILE="$work/first/conan/conan_toolchain.cmake" -DCMAKE_BUILD_TYPE=Release
echo "docs/start.md's program builds with Conan"
