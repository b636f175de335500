#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""One, two and three replays in a group on a real Kafka: rate, cost, and how long partitions stand still.

Two servers: an endpoint that stores nothing and answers after 100 ms, where a member is limited by what it has under
way and members add up; and a real OpenSearch on the same cores, where the server is the limit. The first round warms up
and is left out; the others go in turns, and the tables show medians. A rate is that of all documents over the longest
member's time from its first record to its last settlement.

Then a member is stopped, killed and joined while records come in, and the longest time until the committed offsets of
all partitions have moved is compared with the same before.
"""
import argparse
import contextlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "engines"))
import engines  # noqa: E402 (it knows how to start the servers)

PARTITIONS = 12
DELAY_MS = 100
BUFFERED = 8000  # documents in a member: by default the first one to come would take all that there is
COUNTS = (1, 2, 3)
PARTS = ("nothing", "pauses", "stored")
HEAD = ("| members | documents/s: min / median / max | × | CPU µs/document | CPU of each, % of a core | "
        "most memory of each, MiB |\n|--:|--:|--:|--:|--:|--:|")


class NullSink:
    """An endpoint that counts documents and stores none."""

    def __init__(self, program):
        self.process = subprocess.Popen([str(program), str(DELAY_MS)], stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().strip()}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate(timeout=20)


class Scale:
    def __init__(self, options, folder, stack):
        self.options = options
        self.folder = folder
        self.kafka = stack.enter_context(engines.Kafka(folder / "kafka"))
        self.checks = engines.Checks(self.kafka.brokers, options.bin / "kafka_replay", options.bin / "kafka_tool")
        self.checks.kafka("create", "events", PARTITIONS)
        self.checks.kafka("create", "live", PARTITIONS)
        self.checks.kafka("produce", "events", PARTITIONS, options.records)

    def start(self, url, group, *extra, topic="events", output=subprocess.DEVNULL, said=subprocess.DEVNULL):
        return subprocess.Popen(
            [str(self.options.bin / "kafka_replay"), "--brokers", self.kafka.brokers, "--url", url, "--topic", topic,
             "--error-topic", "", "--group", group, "--data-stream", group, "--format", "json", "-X",
             "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=500", *extra], stdout=output, stderr=said)

    def members(self, url, group, count, count_documents, *extra):
        """(documents a second, µs of CPU a document, CPU of each in % of a core, most memory of each in MiB)."""
        before = count_documents(group)
        files = [self.folder / f"{group}-{i}.json" for i in range(count)]
        processes = []
        for file in files:
            with file.open("w", encoding="utf-8") as output:
                processes.append(self.start(url, group, "--until-end", "--quiet", "--max-buffered-items",
                                            str(BUFFERED), *extra, output=output))
        cpu, memory = [], []
        for process in processes:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                raise engines.Failed(f"a member of {count} ended with {process.returncode}")
            cpu.append(usage.ru_utime + usage.ru_stime)
            memory.append(usage.ru_maxrss / 1024)
        seconds = max(json.loads(file.read_text(encoding="utf-8"))["seconds"] for file in files)
        found = count_documents(group) - before
        engines.check(found == self.options.records, f"{group}: {found:,} of {self.options.records:,} documents")
        return (self.options.records / seconds, sum(cpu) / self.options.records * 1e6,
                [share / seconds * 100 for share in cpu], memory)

    def table(self, what, url, count_documents, after=None):
        seen = {count: [] for count in COUNTS}
        for number in range(self.options.rounds + 1):
            for count in COUNTS:
                group = f"{what}-{number}-{count}"
                row = self.members(url, group, count, count_documents, *(() if after is None else
                                                                         ("--install-template",)))
                if number > 0:  # the first warms up
                    seen[count].append(row)
                print(f"{group}: {row[0]:,.0f} documents/s, {row[1]:.2f} µs", file=sys.stderr, flush=True)
                if after:
                    after(group)
        one = statistics.median(row[0] for row in seen[1])
        for count, results in seen.items():
            rates = [row[0] for row in results]
            each = [" / ".join(f"{statistics.median(values):.0f}" for values in zip(*(row[i] for row in results)))
                    for i in (2, 3)]
            print(f"| {count} | {min(rates):,.0f} / {statistics.median(rates):,.0f} / {max(rates):,.0f} | "
                  f"{statistics.median(rates) / one:.2f} | {statistics.median(r[1] for r in results):.2f} | "
                  f"{each[0]} | {each[1]} |", flush=True)

    def committed(self, group):
        try:
            lag = self.checks.kafka("lag", "live", group)
        except subprocess.CalledProcessError:  # a coordinator that is busy: what is asked next is later
            return {}
        return {line.split()[0]: int(line.split()[1]) for line in lag.splitlines()}

    def all_move(self, group):
        """Seconds until every partition's committed offset has moved, while records come in all the time."""
        before = {}
        while not before:
            before = self.committed(group)
        began = time.monotonic()
        while True:
            self.checks.kafka("produce", "live", PARTITIONS, PARTITIONS * 10)
            now = self.committed(group)
            if now and all(now[p] > offset for p, offset in before.items()):
                return time.monotonic() - began
            if time.monotonic() - began > 120:
                raise engines.Failed(f"{group}: offsets stand still")

    def pause(self, url, assignor, how):
        """`how`: the signal by which one of two ends, or None: a third one joins."""
        name = how.name if how else "joins"
        group = f"pause-{assignor[:4]}-{name.lower()}"
        extra = ["-X", f"partition.assignment.strategy={assignor}"]
        members = [self.start(url, group, *extra, "--quiet", topic="live") for _ in range(2)]
        try:
            self.all_move(group)
            time.sleep(5)  # both have surely joined
            usual = max(self.all_move(group) for _ in range(3))
            if how:
                members[1].send_signal(how)
                longest = self.all_move(group)
            else:
                file = self.folder / f"{group}.log"
                with file.open("w", encoding="utf-8") as said:
                    members.append(self.start(url, group, *extra, topic="live", said=said))
                longest, began, after = 0.0, time.monotonic(), 0
                while after < 3:  # as often again when it has its partitions
                    longest = max(longest, self.all_move(group))
                    after += "assigned " in file.read_text(encoding="utf-8")
                    if time.monotonic() - began > 120:
                        raise engines.Failed(f"{group}: the third member gets no partition")
            return f"| {assignor} | {f'one of two ends by {name}' if how else 'a third joins'} | {longest:.1f} s | " \
                   f"{usual:.1f} s |"
        finally:
            for process in members:
                process.send_signal(signal.SIGKILL)
                process.wait()


def main():
    parser = argparse.ArgumentParser(prog="run bench scale", description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3, help="beside the one that warms up")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this")
    options = parser.parse_args()
    parts = options.part or PARTS
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    try:
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bulkhead-scale-")))
            scale = Scale(options, folder, stack)
            if "nothing" in parts or "pauses" in parts:
                with NullSink(options.bin / "null_sink") as sink:
                    if "nothing" in parts:
                        print(f"an endpoint that stores nothing and answers after {DELAY_MS} ms:\n\n{HEAD}")
                        scale.table("nothing", sink.url, lambda _: engines.get(sink.url, "/_count")["count"])
                    if "pauses" in parts:
                        print("\n| assignment | what happens | until all offsets have moved, at longest | "
                              "the same before |\n|---|---|--:|--:|")
                        for how in (None, signal.SIGTERM, signal.SIGKILL):
                            for assignor in ("range", "cooperative-sticky"):
                                print(scale.pause(sink.url, assignor, how), flush=True)
            if "stored" in parts:
                with engines.Search("opensearch", folder / "opensearch") as search:
                    print(f"\na real OpenSearch on the same cores:\n\n{HEAD}")
                    scale.table("stored", search.url, lambda group: scale.checks.count(search.url, group),
                                lambda group: engines.post(search.url, f"/_data_stream/{group}", method="DELETE"))
    except engines.Skipped as reason:
        return engines.skipped("scale", reason)
    except (engines.Failed, subprocess.SubprocessError) as reason:
        print(f"failed: {reason}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
