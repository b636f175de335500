#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# ./run bench [end-to-end|peers|transports|scale|kafka] [options]: the options are the benchmark's.
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Each language's peers into build/peers; those that cannot be built are left out, with a message.
build_peers() {
    local script language
    for script in benchmarks/peers/*/build.sh; do
        language=$(basename "$(dirname "$script")")
        say "building the peers in $language (the log is build/peers/$language.log)"
        mkdir -p build/peers
        "$script" "$PWD/build/peers" >"build/peers/$language.log" 2>&1 || say "left out: not all could be built"
    done
}

setup bench
kind=${1:-}
case "$kind" in
end-to-end | peers | transports | scale | kafka) shift ;;
*) kind=hot-path ;;
esac
rig=benchmarks/end_to_end/rig.py
case "$kind" in
end-to-end) exec_built bench end_to_end python3 "$rig" "$@" ;;
peers | transports)
    build release end_to_end
    build_peers
    if [[ $kind == peers && " $* " == *" --faults "* ]]; then exec python3 benchmarks/end_to_end/faults.py "$@"; fi
    exec python3 "$rig" "--$kind" "$@"
    ;;
scale) exec_built engines kafka_tool,kafka_replay,null_sink python3 benchmarks/kafka/scale.py "$@" ;;
kafka) exec_built engines kafka_tool,kafka_cost python3 benchmarks/kafka/rig.py "$@" ;;
hot-path)
    build release benchmarks
    for program in build/release/bin/*_benchmark; do "$program" "$@"; done
    ;;
esac
