#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# build.sh OUT: leaves OUT/js-elasticsearch and OUT/js-opensearch. Needs Node 20 and npm.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "${1:?usage: build.sh OUT}/work-js"
out=$(cd "$1" && pwd)
cp "$source"/{package.json,package-lock.json,peer.mjs} "$out/work-js/"
(cd "$out/work-js" && npm ci --silent --no-audit --no-fund)
for peer in js-elasticsearch js-opensearch; do
    printf '#!/bin/sh\nexec node "%s" %s "$@"\n' "$out/work-js/peer.mjs" "$peer" >"$out/$peer"
    chmod +x "$out/$peer"
done
