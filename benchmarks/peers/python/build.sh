#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# build.sh OUT: leaves OUT/py-streaming_bulk, OUT/py-parallel_bulk and OUT/py-async_streaming_bulk. Needs Python 3.11.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "${1:?usage: build.sh OUT}/work-python"
out=$(cd "$1" && pwd)
work=$out/work-python
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$source/requirements.txt"
cp "$source/peer.py" "$work/"
for peer in py-streaming_bulk py-parallel_bulk py-async_streaming_bulk; do
    printf '#!/bin/sh\nexec "%s" "%s" %s "$@"\n' "$work/venv/bin/python" "$work/peer.py" "$peer" >"$out/$peer"
    chmod +x "$out/$peer"
done
