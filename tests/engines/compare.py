# SPDX-License-Identifier: BSL-1.0
"""The system that bulkhead replaces (source_system, in Node) beside kafka_replay: one partition, the same OpenSearch.

Its three modes are one request a document, bulks that the handler waits for, and bulks in the background. What a crash
loses is what Kafka's group has committed and the index does not hold: a restarted consumer goes on behind it.
"""
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import tempfile

import engines
from engines import check, get, indexed, post, run, say

SOURCE = engines.HERE / "source_system"


def install():
    folder = engines.CACHE / "source_system"
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise engines.Skipped("Node and npm are needed for the source system")
    folder.mkdir(parents=True, exist_ok=True)
    for file in SOURCE.iterdir():
        shutil.copy(file, folder)
    run("npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", cwd=folder)
    return folder / "consumer.mjs"


def finished(command):
    """Standard output of a program, how it ended, its CPU seconds and its peak memory in MiB."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        return out.read(), process.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024


class Comparison:
    def __init__(self, checks, url, rounds):
        self.checks, self.url, self.rounds = checks, url, rounds
        self.consumer = install()
        self.streams = 0
        self.template = None
        self.rows = []

    def stream(self, name):
        """A new data stream, mapped like the one that kafka_replay installs."""
        self.streams += 1
        stream = f"compare-{name}-{self.streams}-{self.checks.unique}"
        if self.template is not None:
            body = {**self.template, "index_patterns": [stream]}
            post(self.url, f"/_index_template/{stream}", body, "PUT")
        return stream

    def ours(self, topic, stream, *options):
        return [self.checks.replay, "--brokers", self.checks.brokers, "--url", self.url, "--topic", topic, "--group",
                stream, "--error-topic", "", "--data-stream", stream, "--install-template", "--exit-at-end", "--quiet",
                "--format", "json", "--batch-size", "1000", "--concurrency", "4", *options]

    def source(self, mode, topic, stream, *options):
        return ["node", self.consumer, mode, "--brokers", self.checks.brokers, "--url", self.url, "--topic", topic,
                "--group", stream, "--stream", stream, *options]

    def measure(self, name, stream, command, lossless):
        out, code, cpu, rss = finished(command)
        check(code == 0, f"{name} ends with 0 (it ended with {code})")
        report = json.loads(out)
        handled = report.get("handled", report.get("consumed"))
        count = self.checks.count(self.url, stream)
        if lossless:
            check(count == handled, f"{name}: {count:,} of {handled:,} documents are there")
        rate = handled / report["seconds"] * 60
        say(f"    {name}: {rate:,.0f} documents a minute")
        self.rows.append((name, rate, cpu / handled * 1e6, rss, report.get("peak_queue", 0)))

    def speed(self, records):
        topic = self.checks.topic("compare", 1, records)
        warm = self.stream("warm")
        finished(self.ours(topic, warm))
        templates = get(self.url, "/_index_template")["index_templates"]
        self.template = next(t["index_template"] for t in templates if warm in t["index_template"]["index_patterns"])
        for _ in range(self.rounds):
            stream = self.stream("background")
            self.measure("Node, bulks in the background", stream,
                         self.source("background", topic, stream, "--records", str(records)), True)
            stream = self.stream("auto")
            self.measure("kafka_replay --ids auto", stream, self.ours(topic, stream, "--ids", "auto"), True)
            stream = self.stream("own")
            self.measure("kafka_replay, ids of its own", stream, self.ours(topic, stream), True)
        stream = self.stream("one")
        self.measure("Node, one request a document", stream,
                     self.source("one-by-one", topic, stream, "--seconds", "20"), True)
        stream = self.stream("awaited")
        self.measure("Node, bulks awaited", stream, self.source("awaited", topic, stream, "--seconds", "20"), True)

    def crash(self, records):
        topic = self.checks.topic("compare-crash", 1, records)
        stream = self.stream("crash")
        finished(self.source("background", topic, stream, "--crash-after", str(records // 2)))
        held, committed = self.state(topic, stream)
        say(f"    Node, bulks in the background, killed: {committed:,} committed, {held:,} in the index: "
            f"{max(0, committed - held):,} lost")
        stream = self.stream("crash-ours")
        process = subprocess.Popen([str(part) for part in self.ours(topic, stream)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        engines.wait_for("half of the documents", lambda: indexed(self.url, stream) > records // 3, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        held, committed = self.state(topic, stream)
        check(held < records, f"kafka_replay was killed in the middle: {held:,} of {records:,}")
        say(f"    kafka_replay, killed: {committed:,} committed, {held:,} in the index")
        _, code, _, _ = finished(self.ours(topic, stream))
        held, committed = self.state(topic, stream)
        check(code == 0 and held == records and committed == records,
              f"kafka_replay, resumed: {committed:,} committed, {held:,} in the index: {records - held:,} lost")

    def state(self, topic, stream):
        lines = [line.split() for line in self.checks.kafka("lag", topic, stream).splitlines()]
        return self.checks.count(self.url, stream), sum(max(0, int(committed)) for _, committed, _ in lines)

    def table(self):
        say(f"\n{'one partition':32}{'documents a minute':>32}{'CPU µs/doc':>12}{'RSS MiB':>9}{'peak queue':>12}")
        for name in dict.fromkeys(row[0] for row in self.rows):
            rows = [row for row in self.rows if row[0] == name]
            rates = " / ".join(f"{row[1]:,.0f}" for row in sorted(rows, key=lambda row: row[1]))
            say(f"{name:32}{rates:>32}{statistics.median(row[2] for row in rows):12.1f}"
                f"{max(row[3] for row in rows):9}{max(row[4] for row in rows) or '':>12}")


def compare(checks, folder: pathlib.Path, short):
    say("the source system beside kafka_replay")
    with engines.Search("opensearch", folder / "compare") as server:
        comparison = Comparison(checks, server.url, 1 if short else 3)
        comparison.speed(50_000 if short else 200_000)
        comparison.crash(30_000 if short else 100_000)
    comparison.table()
