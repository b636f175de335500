#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# ./run lint: style, static analysis, and the checks of the repository on itself.
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# By comparison: clang-format 14's own --dry-run objects to the closing comments of nested inline namespaces.
well_formatted() {
    local file failed=0
    while read -rd '' file; do clang-format-14 "$file" | diff -u "$file" - || failed=1; done < <(our_sources)
    return "$failed"
}

no_trailing_blanks() { ! our_text | xargs -0r grep -nIE '[[:blank:]]+$'; }

shell_scripts() { our_scripts | xargs -0r shellcheck; }

# all_verify_interface_header_sets of CMake: each header is a source of its own.
headers_alone() { (build dev all_verify_interface_header_sets); }

# check <title> <command>...
failed=0
check() {
    say "$1"
    "${@:2}" || failed=1
}

setup lint
began=$SECONDS
check "clang-format" well_formatted
check "white space" no_trailing_blanks
check "shellcheck" shell_scripts
check "rows of failures without a test" python3 tests/rows/rows.py --check
check "places of the mutants" python3 tests/mutants/mutants.py --places
check "sums of a time point and a duration" python3 tests/lint/time_sums.py
check "tests of the checks" python3 -m unittest discover --quiet --buffer -s tests/lint -p '*_test.py'
check "sizes of folders, headers, classes and functions" python3 tests/lint/sizes.py
check "what includes what" python3 tests/lint/includes.py
check "versions and names in packages" python3 packaging/agree.py
check "options in the docs" python3 tests/docs/options.py --check
check "code blocks and links of the docs" python3 tests/docs/blocks.py --check
check "public names without a comment; links of the site" tools/docs.sh
check "every header compiles alone" headers_alone
check "clang-tidy" tools/tidy.sh
[[ $failed -eq 0 ]] || die "lint found something (see above)"
say "lint: clean in $((SECONDS - began)) s"
