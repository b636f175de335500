#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# ./run format: rewrites our sources in the house style.
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

setup format
our_sources | xargs -0r clang-format-14 -i
