#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# build.sh OUT: leaves go-docappender, go-esutil and go-opensearchutil in OUT. Needs Go.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "${1:?usage: build.sh OUT}/work-go"
out=$(cd "$1" && pwd)
cp -rf "$source"/{go.mod,go.sum,harness,docappender,esutil,opensearchutil} "$out/work-go/"
cd "$out/work-go"
for peer in docappender esutil opensearchutil; do go build -o "$out/go-$peer" "./$peer"; done
