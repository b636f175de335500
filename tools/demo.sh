#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# ./run demo [options]: the options are kafka_replay's.
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The half that is not named is embedded by name: an address in the environment is for something else than a demonstration.
demo() {
    local embedded=()
    if [[ " $*" != *" --brokers"[\ =]* ]]; then embedded+=(--brokers embedded); fi
    if [[ " $*" != *" --url"[\ =]* ]]; then embedded+=(--url embedded); fi
    exec_built demo kafka_replay build/release/bin/kafka_replay "${embedded[@]}" "$@"
}
demo "$@"
