#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""One, two and three kafka_replay processes of a group, between a real Kafka and a real OpenSearch: rate, cost, and how
long the partitions of a member that goes stand still."""
import argparse
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "engines"))
import engines  # noqa: E402 (it knows how to start the servers)

PARTITIONS = 12


class Scale:
    def __init__(self, options, folder, stack):
        self.options = options
        self.kafka = stack.enter_context(engines.Kafka(folder / "kafka"))
        self.search = stack.enter_context(engines.Search("opensearch", folder / "opensearch"))
        self.checks = engines.Checks(self.kafka.brokers, options.bin / "kafka_replay", options.bin / "kafka_tool")
        self.checks.kafka("create", "events", PARTITIONS)
        self.checks.kafka("create", "live", PARTITIONS)
        self.checks.kafka("produce", "events", PARTITIONS, options.records)

    def start(self, group, *extra, topic="events"):
        return subprocess.Popen(
            [str(self.options.bin / "kafka_replay"), "--brokers", self.kafka.brokers, "--url", self.search.url,
             "--topic", topic, "--error-topic", "", "--group", group, "--data-stream", group, "--install-template",
             "--quiet", "--format", "json", "-X", "session.timeout.ms=6000", *extra],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def members(self, count):
        began = time.monotonic()
        processes = [self.start(f"scale-{count}", "--until-end") for _ in range(count)]
        cpu, memory = [], []
        for process in processes:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                raise engines.Failed(f"a member of {count} ended with {process.returncode}")
            cpu.append(usage.ru_utime + usage.ru_stime)
            memory.append(usage.ru_maxrss // 1024)
        seconds = time.monotonic() - began
        found = self.checks.count(self.search.url, f"scale-{count}")
        engines.check(found == self.options.records, f"{count} members: {found:,} of {self.options.records:,} documents")
        return (f"| {count} | {self.options.records / seconds:,.0f} | {sum(cpu) / self.options.records * 1e6:.2f} | "
                + " / ".join(f"{share / seconds * 100:.0f} %" for share in cpu) + " | " +
                " / ".join(f"{most} MiB" for most in memory) + " |")

    def committed(self, group):
        return {line.split()[0]: int(line.split()[1]) for line in self.checks.kafka("lag", "live", group).splitlines()}

    def all_move(self, group):
        """Seconds until every partition's committed offset has moved, while records come in all the time."""
        before, began = self.committed(group), time.monotonic()
        while True:
            self.checks.kafka("produce", "live", PARTITIONS, PARTITIONS * 10)
            now = self.committed(group)
            if all(now[p] > offset for p, offset in before.items()):
                return time.monotonic() - began
            if time.monotonic() - began > 120:
                raise engines.Failed(f"{group}: offsets stand still")

    def pause(self, assignor, how):
        group = f"pause-{assignor[:4]}-{how.name.lower()}"
        extra = ["-X", f"partition.assignment.strategy={assignor}", "-X", "heartbeat.interval.ms=500"]
        first, second = (self.start(group, *extra, topic="live") for _ in range(2))
        try:
            self.all_move(group)
            time.sleep(5)  # both have surely joined
            usual = self.all_move(group)
            second.send_signal(how)
            return f"| {assignor} | {how.name} | {self.all_move(group):.1f} s | {usual:.1f} s |"
        finally:
            for process in (first, second):
                process.send_signal(signal.SIGKILL)
                process.wait()


def main():
    parser = argparse.ArgumentParser(prog="run bench scale", description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--records", type=int, default=300_000)
    options = parser.parse_args()
    try:
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bulkhead-scale-")))
            scale = Scale(options, folder, stack)
            rows = [scale.members(count) for count in (1, 2, 3)]
            pauses = [scale.pause(assignor, how) for assignor in ("range", "cooperative-sticky")
                      for how in (signal.SIGTERM, signal.SIGKILL)]
    except engines.Skipped as reason:
        print(f"skipped: {reason}")
        return 0
    except engines.Failed as reason:
        print(f"failed: {reason}")
        return 1
    print("| members | documents/s | CPU µs/document | CPU of each | most memory of each |\n|--:|--:|--:|--:|--:|")
    print("\n".join(rows))
    print("\n| assignment | one of two ends by | until all offsets have moved | the same before |\n|---|---|--:|--:|")
    print("\n".join(pauses))
    return 0


if __name__ == "__main__":
    sys.exit(main())
