#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# build.sh OUT: leaves java-elasticsearch, java-elasticsearch-legacy and java-opensearch in OUT. Needs JDK 17 and Maven.
set -euo pipefail
mkdir -p "$1"
out=$(cd "$1" && pwd)/work-java
cd "$(dirname "${BASH_SOURCE[0]}")"

starter() { # starter NAME CLIENT [ASSIGNMENT]
    # shellcheck disable=SC2016
    printf '#!/bin/sh\nhere=$(dirname "$0")/work-java/%s\n%s exec java -cp "$here:$here/lib/*" Peer "$@"\n' \
        "$2" "${3:-}" >"$out/../$1"
    chmod +x "$out/../$1"
}

for client in elasticsearch opensearch; do
    mkdir -p "$out/$client"
    mvn -q -B -f "$client/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$out/$client/lib"
    javac -nowarn -d "$out/$client" -cp "$out/$client/lib/*" Task.java "$client/Peer.java"
done
starter java-elasticsearch elasticsearch
starter java-elasticsearch-legacy elasticsearch LEGACY_TRANSPORT=1
starter java-opensearch opensearch
