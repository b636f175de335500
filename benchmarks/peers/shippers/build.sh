#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# build.sh OUT: leaves OUT/rsyslog and OUT/syslog-ng. Needs Debian 12, whose packages it unpacks instead of installing
# them: of the two, only one can be installed, and neither need run here as a service.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "${1:?usage: build.sh OUT}/work-shippers"
out=$(cd "$1" && pwd)
work=$out/work-shippers
cp "$source/peer.py" "$work/"

# unpack <peer> <version> <package>...: fetches them, the first being of that upstream version
unpack() {
    local root=$work/$1 version=$2 package
    shift 2
    rm -rf "$root"
    mkdir -p "$root/packages"
    (cd "$root/packages" && apt-get -qq -o APT::Sandbox::User=root download "$@") || return
    compgen -G "$root/packages/$1_$version*" >/dev/null || return
    for package in "$root"/packages/*.deb; do
        dpkg --extract "$package" "$root" || return
    done
}

# peer <name> <version> <package>...
peer() {
    rm -f "$out/$1"
    if ! unpack "$@"; then
        echo "left out: $1 (Debian's package of version $2 is not to be had)" >&2
        return
    fi
    printf '#!/bin/sh\nexec python3 "%s" %s "$@"\n' "$work/peer.py" "$1" >"$out/$1"
    chmod +x "$out/$1"
}

peer rsyslog 8.2302.0 rsyslog rsyslog-elasticsearch libestr0 libfastjson4
peer syslog-ng 3.38.1 syslog-ng-core syslog-ng-mod-http syslog-ng-scl libivykis0 libjson-c5 libnet1 libpcre3 libwrap0
