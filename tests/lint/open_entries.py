# SPDX-License-Identifier: BSL-1.0
"""A check's list of what does not hold yet: lines of `what<TAB>value`. The list may only shrink."""
import pathlib


def read(path):
    entries = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                what, value = line.split("\t")
                entries[what] = int(value)
    return entries


def faults(found, entries):
    """`found`: what is above its limit, as {what: (value, limit)}. What is neither open nor within its entry, and entries
    that are no longer needed."""
    for what, (value, limit) in sorted(found.items()):
        if what not in entries:
            yield f"{what}: {value}, the limit is {limit}"
        elif value > entries[what]:
            yield f"{what}: {value}, more than the {entries[what]} that are open; the limit is {limit}"
    for what in sorted(set(entries) - set(found)):
        yield f"{what}: holds; take its entry out of the list of what is open"


def write(path, found, comment):
    lines = [f"# {comment}", *(f"{what}\t{value}" for what, (value, _) in sorted(found.items()))]
    pathlib.Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
