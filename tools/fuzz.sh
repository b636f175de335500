#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# ./run fuzz [target]... [--seconds N]
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

seconds=20 targets=() failed=0
while [[ $# -gt 0 ]]; do
    case "$1" in
    --seconds) seconds=${2:?--seconds needs a number} && shift 2 ;;
    *) targets+=("$1") && shift ;;
    esac
done
[[ ${#targets[@]} -gt 0 ]] || targets=(answer ndjson settings exchange)
setup sanitizers
build fuzz "${targets[@]/%/_fuzz}"
for target in "${targets[@]}"; do
    work=build/fuzz/work/$target
    mkdir -p "$work"
    if "build/fuzz/bin/${target}_fuzz" -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$work-" "$work" "tests/fuzz/corpus/$target" >"$work.log" 2>&1; then
        printf '%s: %s\n' "$target" "$(grep -o 'Done [0-9]* runs in [0-9]* second.*' "$work.log")"
    else
        printf '%s: failed (the log is %s)\n' "$target" "$work.log"
        grep -E 'does not hold|ERROR|runtime error|Test unit written' "$work.log" || true
        failed=1
    fi
done
exit "$failed"
