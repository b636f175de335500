#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# ./run coverage: the lines and branches of the library that the unit and integration tests and the simulation reach.
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

setup coverage
build coverage unit_tests integration_tests simulate
find build/coverage -name '*.gcda' -delete
build/coverage/bin/unit_tests | tail -n 3
build/coverage/bin/integration_tests | tail -n 3
build/coverage/bin/simulate --seeds 500 | head -n 1
build/coverage/bin/simulate --kafka --seeds 200 | head -n 1
mkdir -p build/coverage/report
gcovr --root . --filter include/bulkhead/ --exclude include/bulkhead/test/ --exclude-throw-branches \
    --exclude-unreachable-branches --json build/coverage/report/coverage.json build/coverage
gcovr --root . -a build/coverage/report/coverage.json --html-details build/coverage/report/index.html
gcovr --root . -a build/coverage/report/coverage.json
gcovr --root . -a build/coverage/report/coverage.json --branches
say "line by line: build/coverage/report/index.html"
