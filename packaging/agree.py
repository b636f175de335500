#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Checks that what the packages say is one: version.hpp's version in CHANGELOG.md, docs/start.md and the vcpkg port, the
components of bulkheadConfig.cmake as Conan's options, vcpkg's features and CMakeLists.txt's targets, the fields of vcpkg's
manifests by the rules of its schema, and what the portfile calls. Prints what differs; exit status 1 when something
does."""
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PORT = ROOT / "packaging/vcpkg/ports/bulkhead"
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
MANIFEST_FIELDS = {"name", "version", "version-semver", "version-string", "description", "license", "supports", "homepage",
                   "dependencies", "features", "default-features"}
DEPENDENCY_FIELDS = {"name", "host", "features", "default-features", "platform", "version>="}
CALLS = {"set", "vcpkg_cmake_configure", "vcpkg_cmake_install", "vcpkg_cmake_config_fixup", "vcpkg_fixup_pkgconfig", "file",
         "vcpkg_install_copyright"}

wrong = []


def expect(what, found, wanted):
    if found != wanted:
        wrong.append(f"{what}: {found!r}, not {wanted!r}")


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def dependencies(where, entries):
    for entry in entries:
        entry = {"name": entry} if isinstance(entry, str) else entry
        expect(f"{where}: unknown fields", set(entry) - DEPENDENCY_FIELDS, set())
        if not NAME.fullmatch(entry.get("name", "")):
            wrong.append(f"{where}: not a name: {entry}")


def manifest(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    where = str(path.relative_to(ROOT))
    expect(f"{where}: unknown fields", set(content) - MANIFEST_FIELDS, set())
    expect(f"{where}: versions", len([field for field in content if field.startswith("version")]), 1)
    dependencies(where, content.get("dependencies", []))
    for name, feature in content.get("features", {}).items():
        expect(f"{where}: fields of {name}", set(feature), {"description", "dependencies"})
        dependencies(f"{where}: {name}", feature["dependencies"])
    return content


header = read("include/bulkhead/version.hpp")
version = ".".join(re.findall(r"^#define BULKHEAD_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)$", header, re.M))
expect("version.hpp: a version of three numbers", bool(re.fullmatch(r"\d+\.\d+\.\d+", version)), True)
released = re.search(r"^## \[([^]]+)\] - (\d{4}-\d\d-\d\d|unreleased)$", read("CHANGELOG.md"), re.M)
expect("CHANGELOG.md: its newest version", released and released[1], version)
if re.search(r"\d+\.\d+\.\d+", re.sub(r"[<>=~^!]+ ?[\d.]+", "", re.sub(r'""".*?"""', "", read("conanfile.py"), flags=re.S))):
    wrong.append("conanfile.py: names a version; it reads it from version.hpp")
expect("docs/start.md: Conan's version", re.findall(r"^bulkhead/(\d\S*)$", read("docs/start.md"), re.M), [version])
port = manifest(PORT / "vcpkg.json")
expect("vcpkg.json: name", port["name"], "bulkhead")
expect("vcpkg.json: version-semver", port.get("version-semver"), version)
example = manifest(ROOT / "packaging/vcpkg/example/vcpkg.json")

config = read("cmake/bulkheadConfig.cmake.in")
components = set(re.findall(r"^bulkhead_find_component\((\w+)", config, re.M))
options = re.search(r"^OPTIONAL = \{(.*?)\}", read("conanfile.py"), re.M | re.S)[1]
expect("conanfile.py: options", set(re.findall(r'"(\w+)":', options)), components)
expect("vcpkg.json: features", set(port["features"]), components)
declared = set(re.findall(r"^bulkhead_component\(\s*(\w+)", read("CMakeLists.txt"), re.M))
expect("CMakeLists.txt: components", declared, components | {"bulkhead"})
expect("the example's features", set(example["dependencies"][0]["features"]), components)

portfile = (PORT / "portfile.cmake").read_text(encoding="utf-8")
expect("portfile.cmake: unknown calls", set(re.findall(r"^(\w+)\(", portfile, re.M)) - CALLS, set())
for option in re.findall(r"-D(\w+)=", portfile):
    if f"option({option} " not in read("CMakeLists.txt"):
        wrong.append(f"portfile.cmake: CMakeLists.txt has no option {option}")

print("\n".join(wrong) or f"packages agree: {version}, components {', '.join(sorted(components))}")
sys.exit(bool(wrong))
