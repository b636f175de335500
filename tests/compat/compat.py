#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Compiles the library and its tests with several compilers and Boosts, runs the tests, and writes the table of
docs/compatibility.md. Each Debian is a root of its own under build/compat, made by debootstrap from the mirror that apt uses
here; so it needs root, the network, and for each row some ten minutes of two cores.

Usage: compat.py [--only SUITE[/COMPILER]]... [--quick]     --quick: every header alone and the unit tests, no more
"""
import argparse
import datetime
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WHERE = ROOT / "build" / "compat"
PAGE = ROOT / "docs" / "compatibility.md"
SUITES = ["bookworm", "trixie", "sid"]  # the floor, the stable one after it, the newest of everything
COMPILERS = ["g++", "clang++"]
PACKAGES = ("cmake ninja-build pkg-config librdkafka-dev libssl-dev libdeflate-dev prometheus-cpp-dev libcli11-dev "
            "libspdlog-dev zlib1g-dev catch2 python3 openssl").split()
FOLDERS = "unit;integration;gzip;prometheus;unit_tls;tls"
QUICK = "unit"


def run(command, **how):
    return subprocess.run(command, check=True, text=True, **how)


def inside(root, command, **how):
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(["chroot", root, "sh", "-c", command], text=True, env=environment, **how)


def said(root, command):
    return inside(root, command, capture_output=True).stdout.strip()


def mirror():
    policy = run(["apt-cache", "policy", "cmake"], capture_output=True).stdout
    return re.search(r"^ +\d+ (\S+) \S+/main", policy, re.M)[1]


def prepare(suite):
    """A root with what the tests need; the newest Boost, GCC and Clang that the suite has, or on bookworm the floor."""
    root = WHERE / suite
    if not (root / "ready").exists():
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        print(f"{suite}: making a root", flush=True)
        with open(WHERE / f"{suite}.log", "w", encoding="utf-8") as log:
            script = pathlib.Path("/usr/share/debootstrap/scripts") / suite
            run(["debootstrap", "--variant=minbase", suite, root, mirror(), *([] if script.exists() else ["sid"])],
                stdout=log, stderr=log)
            for file in pathlib.Path("/etc/apt/apt.conf.d").iterdir():
                shutil.copy(file, root / "etc/apt/apt.conf.d")
            inside(root, "apt-get update -qq", stdout=log, stderr=log)
            boost = "1.81"
            if suite != "bookworm":
                found = said(root, "apt-cache --names-only search '^libboost1\\.[0-9]+-dev$'")
                boost = "1." + str(max(int(number) for number in re.findall(r"libboost1\.(\d+)-dev", found)))
            wanted = [f"libboost{boost}-dev", f"libboost-json{boost}-dev", f"libboost-url{boost}-dev", "g++", "clang"]
            if suite == "sid":  # the newest, not the default
                for pattern, name in (("g\\+\\+", "g++"), ("clang", "clang")):
                    found = said(root, f"apt-cache --names-only search '^{pattern}-[0-9]+$'")
                    newest = max(int(number) for number in re.findall(rf"^{pattern}-(\d+) ", found, re.M))
                    wanted[wanted.index(name)] = f"{name}-{newest}"
            print(f"{suite}: installing {' '.join(wanted)}", flush=True)
            done = inside(root, "apt-get install -y -qq --no-install-recommends " + " ".join(wanted + PACKAGES), stdout=log, stderr=log)
            if done.returncode != 0:
                sys.exit(f"{suite}: installing failed, see {WHERE / suite}.log")
        (root / "ready").touch()
    for name in ("dev", "proc"):
        if not os.path.ismount(root / name):
            run(["mount", "--bind", f"/{name}", root / name])
    return root


def sources(root):
    """What git knows of, as it stands."""
    target = root / "src"
    names = run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True).stdout
    for name in names.split("\0"):
        if name and (ROOT / name).is_file():
            to = target / name
            to.parent.mkdir(parents=True, exist_ok=True)
            if not to.exists() or to.read_bytes() != (ROOT / name).read_bytes():
                shutil.copy(ROOT / name, to)


def newest(root, name):
    found = said(root, f"ls /usr/bin | grep -xE '{re.escape(name)}(-[0-9]+)?'").split()
    return max(found, key=lambda one: int((re.findall(r"-(\d+)$", one) or ["0"])[0]))


def try_one(root, suite, compiler, quick):
    program = newest(root, compiler)
    version = re.search(r"\d+\.\d+\.\d+", said(root, f"{program} --version"))[0]
    boost = said(root, "sed -n 's/^#define BOOST_LIB_VERSION \"\\(.*\\)\"/\\1/p' /usr/include/boost/version.hpp").replace("_", ".")
    row = [f"{'GCC' if compiler == 'g++' else 'Clang'} {version}", boost,
           re.search(r"[\d.]+", said(root, "cmake --version"))[0], said(root, "pkg-config --modversion rdkafka"),
           said(root, "pkg-config --modversion openssl"), suite]
    log = WHERE / f"{suite}-{compiler}.log"
    print(f"{suite}, {row[0]}, Boost {boost}: building", flush=True)
    build = f"build/{compiler}"
    folders = QUICK if quick else FOLDERS
    targets = "all_verify_interface_header_sets" + (" unit_tests" if quick else " all")
    commands = [f"cd /src && cmake -S . -B {build} --preset dev -DCMAKE_CXX_COMPILER={program} "
                f"-DCMAKE_CXX_COMPILER_LAUNCHER= '-DBULKHEAD_TEST_FOLDERS={folders}' -DBULKHEAD_SIMULATION_SEEDS=100",
                f"cd /src && nice cmake --build {build} -j2 --target {targets} -- -k 0"]
    with open(log, "w", encoding="utf-8") as out:
        for command in commands:
            if inside(root, command, stdout=out, stderr=out).returncode != 0:
                print(f"    failed, see {log}")
                return row + ["**does not build**"]
        only = "-R '^unit$'" if quick else "-E 'replay|kafka'"
        done = inside(root, f"cd /src/{build} && ctest -j2 {only} --output-on-failure", capture_output=True)
        out.write(done.stdout + done.stderr)
    total = re.search(r"(\d+)% tests passed, (\d+) tests failed out of (\d+)", done.stdout)
    failed = re.findall(r"^\s*\d+ - (\S+) \(", done.stdout, re.M)
    result = "no test ran" if total is None else (f"all {total[3]} pass" if total[2] == "0" else f"**fail: {', '.join(failed)}**")
    print(f"    {result}")
    return row + [result + (" (unit tests only)" if quick else "")]


def write(rows):
    """Rows that were tried now replace those that were; the others stay."""
    head = ("# Compatibility\n\nWhat was really compiled, with warnings as errors, and tested: every header alone, the examples, and "
            "the tests that need\nno Kafka. By `./run compat`; a line is as old as its date. The floor (Debian 12: GCC 12.2 and\n"
            "Boost 1.81; Clang 14 under its sanitizers) is what CI compiles and tests, Kafka included, with each submission.\n\n"
            "| compiler | Boost | CMake | librdkafka | OpenSSL | Debian | tests | tried |\n|---|---|---|---|---|---|---|---|\n")
    old = {}
    if PAGE.exists():
        for line in PAGE.read_text(encoding="utf-8").splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) == 8 and cells[0].startswith(("GCC", "Clang")):
                old[(cells[5], cells[0].split()[0])] = cells
    today = datetime.date.today().isoformat()
    for row in rows:
        old[(row[5], row[0].split()[0])] = row + [today]
    ordered = sorted(old.values(), key=lambda row: (SUITES.index(row[5]), row[0].startswith("Clang")))
    PAGE.write_text(head + "".join("| " + " | ".join(row) + " |\n" for row in ordered) +
                    f"\nThe machine: {platform.machine()}, two cores.\n", encoding="utf-8")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", action="append", default=[])
    options.add_argument("--quick", action="store_true")
    options = options.parse_args()
    if os.geteuid() != 0:
        sys.exit("compat: this makes roots of its own, so it needs root")
    WHERE.mkdir(parents=True, exist_ok=True)
    failed = False
    for suite in SUITES:
        wanted = [compiler for compiler in COMPILERS
                  if not options.only or suite in options.only or f"{suite}/{compiler}" in options.only]
        if not wanted:
            continue
        root = prepare(suite)
        try:
            sources(root)
            for compiler in wanted:
                row = try_one(root, suite, compiler, options.quick)
                failed = failed or "**" in row[-1]
                write([row])
        finally:
            for name in ("dev", "proc"):
                subprocess.run(["umount", root / name])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
