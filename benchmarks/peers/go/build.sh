#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# build.sh OUT: leaves go-docappender, go-esutil and go-opensearchutil in OUT. Needs Go.
set -euo pipefail
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")"
for peer in docappender esutil opensearchutil; do go build -o "$out/go-$peer" "./$peer"; done
