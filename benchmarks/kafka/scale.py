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
        self.checks.kafka("produce", "events", PARTITIONS, options.records)

    def start(self, group, *extra):
        return subprocess.Popen(
            [str(self.options.bin / "kafka_replay"), "--brokers", self.kafka.brokers, "--url", self.search.url,
             "--topic", "events", "--error-topic", "", "--group", group, "--data-stream", group, "--install-template",
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
        return {line.split()[0]: int(line.split()[1]) for line in self.checks.kafka("lag", "events", group).splitlines()}

    def pause(self, assignor, how):
        """From the end of a member until every partition's committed offset has moved."""
        group = f"pause-{assignor[:4]}-{how.name.lower()}"
        extra = ["--rate", "2000", "-X", f"partition.assignment.strategy={assignor}", "-X",
                 "heartbeat.interval.ms=500"]
        first, second = self.start(group, *extra), self.start(group, *extra)
        try:
            then = self.committed(group)
            engines.wait_for("all partitions to move", lambda: all(
                offset > then[p] for p, offset in self.committed(group).items()))
            time.sleep(3)  # the second has surely joined
            before = self.committed(group)
            second.send_signal(how)
            began = time.monotonic()
            second.wait(60)
            slowest = 0.0
            waiting = set(before)
            while waiting and time.monotonic() - began < 60:
                now = self.committed(group)
                waiting -= {p for p in waiting if now[p] > before[p] + 200}
                slowest = time.monotonic() - began
                time.sleep(0.05)
            return f"| {assignor} | {how.name} | {slowest:.1f} s |"
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
    print("\n| assignment | a member ends by | until all its partitions' offsets move again |\n|---|---|--:|")
    print("\n".join(pauses))
    return 0


if __name__ == "__main__":
    sys.exit(main())
