#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Sees that what README.md and docs/ show is what is there. --check is the only thing it does.

A block of C++ stands, white space aside, in a source under examples/ or tests/ that CMake compiles. A block of shell
runs what exists: commands of ./run, files of ours, programs that CMake builds. A block of CMake names targets and
components that CMakeLists.txt defines. A link leads to a file, and its anchor to a heading.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
TOOLS = {"sudo", "apt-get", "git", "cmake", "cd", "curl", "python3", "export", "kill", "docker", "ctest", "mkdir", "for",
         "done", "conan", "vcpkg", "pkg-config", "g++", "echo", "systemctl", "kubectl", "printf", "cp"}


def blocks(text):
    """(line, language, code) of each fenced block."""
    for match in re.finditer(r"^```(\w*)\n(.*?)^```", text, re.M | re.S):
        yield text[:match.start()].count("\n") + 1, match[1], match[2]


def squeezed(code):
    return "".join(code.split())


def cmake_lists():
    return [path for top in sorted(ROOT.iterdir()) if top.is_dir() and top.name not in ("build", ".git")
            for path in top.glob("**/CMakeLists.txt")]


def compiled_sources():
    """The sources that CMake compiles, by the name in their folder's CMakeLists.txt or the one above; and the headers that
    these include."""
    cmake = {path.parent: path.read_text(encoding="utf-8") for path in cmake_lists()}
    found = {}
    for top in ("examples", "tests"):
        for path in sorted((ROOT / top).rglob("*.cpp")):
            lists = [cmake[folder] for folder in (path.parent, path.parent.parent) if folder in cmake]
            named = any(re.search(rf"(?<![\w-]){re.escape(path.name)}\b", text) for text in lists)
            suite = path.relative_to(ROOT / top).parts[0]
            globbed = top == "tests" and f"bulkhead_add_tests({suite} " in cmake.get(ROOT / "tests" / suite, "")
            if named or globbed:
                found[path] = path.read_text(encoding="utf-8")
    for path, text in list(found.items()):
        for name in re.findall(r'#include "([^"]+)"', text):
            header = (path.parent / name).resolve()
            if header.exists():
                found[header] = header.read_text(encoding="utf-8")
    return found


def run_commands():
    text = (ROOT / "run").read_text(encoding="utf-8")
    table = text[text.index("<<'TABLE'\n"):text.index("\nTABLE\n")]
    return set(re.findall(r"^([\w-]+)[^|\n]*\|", table, re.M))


def shell_faults(code, commands, programs):
    for line in re.sub(r"\\\n", " ", code).splitlines():
        line = line.split(" #")[0].strip()
        if not line or line.startswith("#"):
            continue
        words = [word for word in line.split() if not re.match(r"^\w+=", word)]
        if words[:1] == ["sudo"]:
            words = words[1:]
        if not words:
            continue
        if words[0] == "./run":
            if len(words) > 1 and words[1] not in commands:
                yield f"./run has no command {words[1]}"
        elif match := re.match(r"(?:\./)?build/\w+/bin/(\w+)$", words[0]):
            if match[1] not in programs:
                yield f"CMake builds no {match[1]}"
        elif words[0].startswith("./") or words[0].startswith("tests/") or words[0].startswith(".ci/"):
            if not (ROOT / words[0]).exists():
                yield f"there is no {words[0]}"
        elif words[0] not in TOOLS:
            yield f"nothing is known of the command {words[0]}"
        for word in words[1:]:
            if re.match(r"(tests|docs|examples|benchmarks)/[\w./-]+$", word) and not (ROOT / word).exists():
                yield f"there is no {word}"


def cmake_faults(code, lists):
    components = re.findall(r"^bulkhead_component\(\s*(\w+)", lists, re.M)
    for target in set(re.findall(r"bulkhead::(\w+)", code)):
        if target not in components:
            yield f"CMakeLists.txt has no target bulkhead::{target}"
    for option in set(re.findall(r"BULKHEAD_\w+", code)):
        if option not in lists:
            yield f"CMakeLists.txt has no option {option}"


def anchors(text):
    """The anchors of a page's headings, as GitHub and our site make them."""
    found, inside = set(), False
    for line in text.splitlines():
        inside ^= line.startswith("```")
        if not inside and (match := re.match(r"#+ (.*)", line)):
            plain = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", match[1]).strip().lower()
            found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


def link_faults(page, text):
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    prose = re.sub(r"`[^`\n]*`", "``", prose)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or ROOT not in [path, *path.parents]:
            yield f"there is no {target}"
        elif anchor and path.suffix == ".md" and anchor not in anchors(path.read_text(encoding="utf-8")):
            yield f"{name or page.name} has no heading for #{anchor}"


def main():
    sources = {path: squeezed(text) for path, text in compiled_sources().items()}
    lists = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    every = " ".join(path.read_text(encoding="utf-8") for path in cmake_lists())
    programs = set(re.findall(r"add_executable\(\s*(\w+)", every))
    for named in re.findall(r"\bprograms(?: \w+\.cpp)+", every):
        programs.update(re.findall(r"(\w+)\.cpp", named))
    commands = run_commands()
    faults, count = [], 0
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        where = page.relative_to(ROOT)
        for line, language, code in blocks(text):
            count += 1
            if language == "cpp":
                if not any(squeezed(code) in source for source in sources.values()):
                    faults.append(f"{where}:{line}: no compiled source under examples/ or tests/ holds this block")
            elif language in ("sh", "bash", "shell", "console"):
                faults += [f"{where}:{line}: {fault}" for fault in shell_faults(code, commands, programs)]
            elif language == "cmake":
                faults += [f"{where}:{line}: {fault}" for fault in cmake_faults(code, lists)]
            elif language == "":
                faults.append(f"{where}:{line}: a fenced block must say its language")
        faults += [f"{where}: {fault}" for fault in link_faults(page, text)]
    for path in ROOT.glob("docs/*.md"):
        if path.name != "README.md" and f"({path.name})" not in (ROOT / "docs" / "README.md").read_text(encoding="utf-8"):
            faults.append(f"docs/README.md does not name {path.name}")
    print("\n".join(faults) if faults else f"{count} blocks of {len(PAGES)} pages hold")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
