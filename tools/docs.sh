#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# ./run docs: the site in build/site, after the reference. Doxygen reports every public name that has no comment. Two of its
# own errors, about templates of Boost that the library specialises, are filtered out.
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

setup docs
mkdir -p build/site
doxygen docs/site/Doxyfile >build/doxygen.log 2>&1 || { cat build/doxygen.log >&2 && exit 1; }
if grep -v "Internal inconsistency: scope for class boost::" build/doxygen.log >&2; then exit 1; fi
/usr/bin/python3 docs/site/site.py # the system's, for which apt's markdown is
