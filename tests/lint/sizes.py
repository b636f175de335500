#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Prints the sizes of folders, headers, classes and functions, and checks their limits.

Of the library with its test kit (include/), the simulators (tests/simulation) and the examples. Folders: these, the tests
and the benchmarks, without data. A class's data members are those of one object; a plain aggregate (a struct without
constructor, private part and virtual function, and with at most three functions) may have any number. A function's lines
are those from its return type to its closing brace.

sizes_open.tsv lists what is above its limit: a value may fall, never rise, and an entry that is no longer needed fails.

    sizes.py            the table, and the check
    sizes.py --all      every file, class and function above half of its limit as well
    sizes.py --write    writes sizes_open.tsv: after sizes have shrunk, or code has moved
"""
import pathlib
import statistics
import sys

import cpp
import open_entries

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
OPEN = pathlib.Path(__file__).with_name("sizes_open.tsv")
SOURCES = {".hpp", ".cpp", ".py", ".sh", ".tsv", ".supp"}
MOST_NAMES, MOST_FILES = 30, 12  # at the top level; in a folder
MOST_LINES, MOST_MEDIAN = 350, 120  # of a header; of all headers of the library
MOST_MEMBERS, MOST_FUNCTIONS_OF_AGGREGATE = 20, 3
MOST_FUNCTION_LINES, LONG_FUNCTION, MOST_LONG_FUNCTIONS = 60, 40, 10
SPECIAL_MEMBERS = {"IndexerCore": 24}
SPECIAL_CLASS_LINES = {"IndexerCore": 350}


def exceeds(value, limit):
    return value > limit


class Sizes:
    """What was measured: {what: (value, limit)} by kind."""

    def __init__(self):
        self.kinds = {}

    def add(self, kind, name, value, limit):
        what = f"{kind} {name}" if name else kind
        of_kind = self.kinds.setdefault(kind, {})
        if what not in of_kind or of_kind[what][0] < value:
            of_kind[what] = (value, limit)

    def above(self):
        return {what: sizes for of_kind in self.kinds.values() for what, sizes in of_kind.items() if exceeds(*sizes)}


def is_plain_aggregate(found):
    return found.aggregate and found.functions <= MOST_FUNCTIONS_OF_AGGREGATE


def measure_text(sizes, text):
    """Adds the classes and functions of one source; returns how many of its functions are long."""
    classes, functions = cpp.parse(text)
    for found in classes:
        if not is_plain_aggregate(found):
            sizes.add("members of", found.name, found.members, SPECIAL_MEMBERS.get(found.name, MOST_MEMBERS))
        if found.name in SPECIAL_CLASS_LINES:
            sizes.add("lines of class", found.name, found.lines, SPECIAL_CLASS_LINES[found.name])
    for found in functions:
        sizes.add("lines of function", found.name, found.lines, MOST_FUNCTION_LINES)
    return sum(exceeds(found.lines, LONG_FUNCTION) for found in functions)


def measure_folders(sizes, root):
    top = root / "include/bulkhead"
    sizes.add("names at the top level", "", sum(1 for _ in top.iterdir()), MOST_NAMES)
    for tree in ("include", "tests", "examples", "benchmarks", "tools"):
        for folder in (root / tree, *sorted((root / tree).rglob("*"))):
            if folder.is_dir() and folder != top and "corpus" not in folder.parts:
                files = sum(1 for path in folder.iterdir() if path.is_file() and path.suffix in SOURCES)
                if files:
                    sizes.add("files in", str(folder.relative_to(root)), files, MOST_FILES)


def measure(root):
    sizes = Sizes()
    measure_folders(sizes, root)
    library = sorted((root / "include").rglob("*.hpp"))
    simulators = sorted((root / "tests/simulation").rglob("*.hpp"))
    examples = sorted(path for path in (root / "examples").rglob("*") if path.suffix in (".hpp", ".cpp"))
    lines, long_functions = [], 0
    for path in (*library, *simulators, *examples):
        text = path.read_text(encoding="utf-8")
        count = text.count("\n")
        long_ones = measure_text(sizes, text)
        if path in library:
            lines.append(count)
        if path not in examples:
            long_functions += long_ones
        if path.suffix == ".hpp":
            sizes.add("lines of", str(path.relative_to(root)), count, MOST_LINES)
    sizes.add("median of the library's headers", "", int(statistics.median(lines)), MOST_MEDIAN)
    sizes.add(f"functions above {LONG_FUNCTION} lines", "", long_functions, MOST_LONG_FUNCTIONS)
    return sizes


def print_table(sizes, everything):
    for kind, of_kind in sizes.kinds.items():
        ranked = sorted(of_kind.items(), key=lambda entry: -entry[1][0] / entry[1][1])
        above = sum(exceeds(*size) for size in of_kind.values())
        shown = [entry for entry in ranked if entry[1][0] * 2 > entry[1][1]] if everything else ranked[:1]
        for what, (value, limit) in shown:
            print(f"{value:6} of {limit:3}  {what}")
        if len(of_kind) > 1:
            print(f"{'':15}{len(of_kind)} measured, {above} above the limit")


def main():
    sizes = measure(ROOT)
    if sys.argv[1:] == ["--write"]:
        open_entries.write(OPEN, sizes.above(), "What is above its limit, and how much it is: see sizes.py.")
        return 0
    print_table(sizes, sys.argv[1:] == ["--all"])
    failed = 0
    for fault in open_entries.faults(sizes.above(), open_entries.read(OPEN)):
        print(f"sizes: {fault}")
        failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
