#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Finds sums of a time point and a duration in the headers, [F197].

A user's duration may be `max()`, which means never; added to a time point it overflows. Such sums go through
`detail::saturating_add`. A sum stands where its duration is a constant, the smaller of two, or a part of what is left.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HEADERS = ROOT / "include" / "bulkhead"
EXEMPT = {HEADERS / "detail/util/saturating_add.hpp"}
# What a time point is called in these headers.
SUM = re.compile(r"\b(?:now|until|deadline|opened|began|since_?|\w+_since_?|sent|due_?|resume_at_?)(?:\(\))? \+ (.*)")
BOUNDED = re.compile(r"std::chrono::\w+\{\d+\}|\d+(?:ns|us|ms|s|min|h)\b|std::min\(|\((?:deadline|until) - now\) / ")


def sums(text):
    """The line numbers of the sums that are to go through `saturating_add`."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        code = line.split("//")[0]
        match = SUM.search(code)
        if match and not BOUNDED.match(match.group(1)):
            found.append(number)
    return found


def check_itself():
    wrong = ["auto d = Clock::now() + timeout;", "x = std::min(deadline, now + timeouts.total);", "opened + max_age <= now"]
    right = ["now + std::chrono::seconds{1}", "now + std::min(a, b)", "now + (deadline - now) / left", "// now + x",
             "Clock::now() - began", "saturating_add<Clock>(now, timeout)"]
    assert all(sums(line) == [1] for line in wrong) and not any(sums(line) for line in right)


def main():
    check_itself()
    failed = False
    for header in sorted(HEADERS.rglob("*.hpp")):
        if header in EXEMPT or header.parent.name == "test":
            continue
        for number in sums(header.read_text(encoding="utf-8")):
            print(f"{header.relative_to(ROOT)}:{number}: a sum of a time point and a duration: use saturating_add")
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
