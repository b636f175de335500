#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# `./run demo` embeds the half that is not named, by name: an address in the environment is not taken for it. [F265]
set -euo pipefail
script=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/tools/demo.sh
failures=0

# arguments_of ARGUMENTS...: what kafka_replay would be started with.
# shellcheck disable=SC2317 # demo calls it
arguments_of() {
    (
        eval "$(sed -n '/^demo() {$/,/^}$/p' "$script")"
        exec_built() { printf '%s' "${*:4}"; }
        demo "$@"
    )
}
# expect WHAT ARGUMENTS...
expect() {
    local wanted=$1 found
    shift
    found=$(arguments_of "$@")
    if [[ $found != "$wanted" ]]; then
        printf "FAILED: demo %s: '%s', expected '%s'\n" "$*" "$found" "$wanted" >&2
        failures=1
    fi
}

export KAFKA_BROKERS=prod:9092 ELASTICSEARCH_URL=http://prod:9200
expect "--brokers embedded --url embedded"
expect "--brokers embedded --url embedded --messages 5" --messages 5
expect "--brokers embedded --url http://h:9200" --url http://h:9200
expect "--brokers embedded --url=http://h:9200" --url=http://h:9200
expect "--url embedded --brokers b:1 --until-end" --brokers b:1 --until-end
expect "--brokers=b:1 --url=http://h:9200" --brokers=b:1 --url=http://h:9200
exit "$failures"
