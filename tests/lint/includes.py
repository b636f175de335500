#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Checks what may include what, over the graph of includes.

- A header reaches Boost.Asio (but boost/asio/buffer.hpp) only where ASIO lists it; in the folders listed there, PURE names the
  headers that reach none all the same.
- Each part of PARTS has a test of its own, tests/unit/**/<part>_test.cpp, which reaches no Asio header either.
- The examples, the benchmarks of users' code and the C++ of the docs include no detail/ header and name nothing in
  bulkhead's detail namespaces.
- No circle of includes.

includes_open.tsv lists what does not hold yet; an entry that is no longer needed fails. `includes.py --write` writes it.
"""
import pathlib
import re
import sys

import open_entries

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
OPEN = pathlib.Path(__file__).with_name("includes_open.tsv")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+(?:<([^>]+)>|"([^"]+)")', re.M)
IS_ASIO = re.compile(r"boost/(?:asio\.hpp|asio/(?!buffer\.hpp$)|beast)")

ASIO = re.compile(r"(?:http|tls|kafka|sinks|test)/.*|(?:bulkhead|tls|gzip|kafka|prometheus|bulk_indexer|standalone_indexer|transport|"
                  r"dead_letter|subscription)\.hpp|detail/(?:indexer_core|completion|waiters|flush_waiters|deadlines)\.hpp")
PURE = re.compile(r"http/detail/(?:node_set|server_url|request_head|exchange_result|header_field)\.hpp|http/credentials\.hpp|"
                  r"tls/(?:tls_options|detail/(?:sigv4|handshake_diagnosis))\.hpp|"
                  r"kafka/(?:offset_tracker|record|mappers|policies|source_options|source_stats|source_event|driver_stats)\.hpp|"
                  r"kafka/detail/(?:partition_table|flow_control|resolution|record_mapping|settlement_inbox|rewinds)\.hpp|"
                  r"kafka/detail/(?:letters/)?(?:revoked_offsets|record_cache)\.hpp|"
                  r"kafka/rdkafka/detail/(?:\w+/)?(?:token_bucket|commit_result|poll_monitor|close_deadline)\.hpp|"
                  r"kafka/rdkafka/detail/progress/(?:client_statistics|lost_records|stall_detector)\.hpp")
PARTS = ("endpoint retry_queue dispatcher id_sequencer dead_letter_queue flood_detector judge settlement_plan close_state "
         "in_flight_limiter request_ceiling retry size_suspicion verdicts answer_parser buffer_pool open_batch sealed_queue "
         "flush_epochs node_set partition_table flow_control policies settlement_inbox revoked_offsets record_cache "
         "offset_tracker token_bucket").split()


class Graph:
    """The files of a tree, what each includes of the tree, and which Asio headers it includes itself."""

    def __init__(self, root, folders):
        self.root = root
        self.edges, self.asio = {}, {}
        for folder in folders:
            for path in sorted((root / folder).rglob("*")):
                if path.suffix in (".hpp", ".cpp"):
                    self.add(path)

    def add(self, path):
        self.edges[path], self.asio[path] = [], []
        for angled, quoted in INCLUDE.findall(path.read_text(encoding="utf-8")):
            name = angled or quoted
            if IS_ASIO.match(name):
                self.asio[path].append(name)
            places = [self.root / "include", self.root / "tests"] if angled else [path.parent, self.root / "tests",
                                                                                 self.root / "include"]
            found = next((place / name for place in places if (place / name).is_file()), None)
            if found:
                self.edges[path].append(pathlib.Path(found).resolve())

    def way_to_asio(self, start):
        """The shortest chain of names from `start` to an Asio header; empty when there is none."""
        before, queue = {start: None}, [start]
        for path in queue:
            if self.asio.get(path):
                chain = [self.asio[path][0]]
                while path:
                    chain.insert(0, path.name)
                    path = before[path]
                return chain
            for to in self.edges.get(path, []):
                if to not in before:
                    before[to] = path
                    queue.append(to)
        return []

    def circles(self):
        state, found = {}, []

        def visit(path, way):
            state[path] = "open"
            for to in self.edges.get(path, []):
                if state.get(to) == "open":
                    found.append([step.name for step in way[way.index(to):]] + [to.name])
                elif to not in state:
                    visit(to, [*way, to])
            state[path] = "done"

        for path in self.edges:
            if path not in state:
                visit(path, [path])
        return found


def may_reach_asio(name):
    return bool(ASIO.fullmatch(name)) and not PURE.fullmatch(name)


def asio_faults(graph):
    headers = graph.root / "include/bulkhead"
    for path in graph.edges:
        if headers in path.parents:
            name = str(path.relative_to(headers))
            way = [] if may_reach_asio(name) else graph.way_to_asio(path)
            if way:
                yield f"{name} reaches Asio", " -> ".join(way)


def part_faults(graph):
    for part in PARTS:
        headers = [path for path in graph.edges if path.name == f"{part}.hpp" and graph.root / "include" in path.parents]
        tests = [path for path in graph.edges if path.name == f"{part}_test.cpp" and graph.root / "tests/unit" in path.parents]
        if not headers:
            yield f"part {part} has no header", "none of that name"
        elif not tests:
            yield f"part {part} has no test", f"no tests/unit/**/{part}_test.cpp"
        for test in tests:
            way = graph.way_to_asio(test)
            if way:
                yield f"{test.name} reaches Asio", " -> ".join(way)


def detail_names(text):
    for header in re.findall(r"#\s*include\s*<(bulkhead/[^>]*detail/[^>]*)>", text):
        yield f"includes {header}"
    own = re.search(r"namespace (?:\w+::)*detail\b", text)
    for name in re.findall(r"(?<![\w:])((?:\w+::)*detail::\w+)", text):
        if not name.startswith(("boost::", "CLI::", "asio::")) and not (own and name.startswith("detail::")):
            yield f"names {name}"


def code_blocks(page):
    return "\n".join(re.findall(r"^```(?:cpp|c\+\+)\n(.*?)^```", page, re.M | re.S))


def detail_faults(root):
    for folder in ("examples", "benchmarks/end_to_end", "benchmarks/kafka", "tests/install", "packaging", "test_package"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".hpp", ".cpp"):
                yield from of_file(root, path, path.read_text(encoding="utf-8"))
    for path in (*sorted((root / "docs").rglob("*.md")), root / "README.md"):
        if path.is_file():
            yield from of_file(root, path, code_blocks(path.read_text(encoding="utf-8")))


def of_file(root, path, text):
    found = sorted(set(detail_names(text)))
    if found:
        yield f"{path.relative_to(root)} uses what is internal", ", ".join(found)


def check(root):
    """All faults: {what: its explanation}."""
    graph = Graph(root, ("include", "tests", "examples"))
    found = dict([*asio_faults(graph), *part_faults(graph), *detail_faults(root)])
    for circle in graph.circles():
        found[f"circle at {circle[0]}"] = " -> ".join(circle)
    return graph, found


def main():
    graph, why = check(ROOT)
    found = {what: (1, 0) for what in why}
    if sys.argv[1:] == ["--write"]:
        open_entries.write(OPEN, found, "What does not hold yet: see includes.py.")
        return 0
    entries = open_entries.read(OPEN)
    failed = 0
    for fault in open_entries.faults(found, entries):
        what = next((what for what in why if fault.startswith(f"{what}: 1")), None)
        print(f"includes: {what}: {why[what]}" if what else f"includes: {fault}")
        failed = 1
    headers = [path for path in graph.edges if ROOT / "include" in path.parents]
    without = sum(not graph.way_to_asio(path) for path in headers)
    print(f"{without} of {len(headers)} headers reach no Asio, {len(entries)} entries are open")
    return failed


if __name__ == "__main__":
    sys.exit(main())
