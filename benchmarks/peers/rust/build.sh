#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# build.sh OUT: leaves OUT/rust-elasticsearch and OUT/rust-opensearch. Needs cargo.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "${1:?usage: build.sh OUT}/work-rust"
out=$(cd "$1" && pwd)
cp -r "$source"/{Cargo.toml,src} "$out/work-rust/"
(cd "$out/work-rust" && CARGO_TARGET_DIR=target cargo build --quiet --release)
cp "$out"/work-rust/target/release/{rust-elasticsearch,rust-opensearch} "$out/"
