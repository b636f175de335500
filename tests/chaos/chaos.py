#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""A group of kafka_replay processes between a real Kafka and a real OpenSearch, while everything is killed in turn.

Members are killed with SIGKILL and started again, stopped with SIGTERM, joined by others; the broker and the search
server are stopped or killed and started; the search server comes back with a write queue of one, so that it answers
429; of the records a share is no event, and a share is refused by the mapping.

At the end, read from the servers and never from the tool under test: every good record is in the index, once, and a
sample of them by id and by field; every bad one is in the dead-letter topic, at least once, by its partition and
offset, and nothing else is; the group's committed offsets are the ends of the partitions. No process used more memory
than its limit, and each that ended with a fault said one that the faults here explain. The tiny write queue did refuse.

The schedule follows a seed; what the machine makes of it does not, so a seed repeats the faults and not the failure.

Rows of the catalogue that happen here for real: members killed at any point and started again [F156], the broker away
and back in the middle [F143], assignments lost with it [F139], partitions that change hands while documents are under
way [F135], also one by one [F140], the buffer full for as long as the search server is away [F150], events that are
none [F148], a document refused for good [F124].
"""
import argparse
import contextlib
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "engines"))
import engines  # noqa: E402
from engines import Failed, check, say  # noqa: E402

PARTITIONS = 12
POISON_EVERY = 1000  # of so many records, one is no event and one is refused by the mapping
MEMBERS = 3
MEMORY_LIMIT = 512  # MiB for each kafka_replay, buffers and Kafka's prefetch included
HEALED_WITHIN = 600  # seconds from the last fault to the ends of the partitions, also on a machine that others use too
STREAM = "chaos"
GROUP = "chaos"
# Exit status 1 says that something went wrong; what may, here. Numbers but a status are #.
KNOWN_FAULTS = [re.compile(text) for text in (
    r"# records are pending: not proven, and not committed as done",  # stopped while the search server was away
    r"search server .* does not (count|refresh) .*: status 503.*",  # started while it was coming up
)]
TEMPLATE = {"index_patterns": [STREAM], "data_stream": {}, "priority": 500, "template": {"mappings": {"properties": {
    "@timestamp": {"type": "date"}, "labels": {"properties": {"poison": {"type": "long"}}}}}}}


class Member:
    """One kafka_replay, started again whenever it has ended, as a supervisor would."""

    def __init__(self, command, log):
        self.command, self.log = command, log
        self.starts = 0
        self.ended = {}  # exit status → times
        self.faults = {}  # what was said at exit status 1 → times
        self.began_at = 0  # in the log
        self.most_memory = 0
        self.process = None

    def start(self):
        self.began_at = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("a", encoding="utf-8") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.starts += 1

    def look(self):
        """Notes its memory, and its end. True while it runs."""
        if self.process is None:
            return False
        with contextlib.suppress(OSError, ValueError):
            for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii").splitlines():
                if line.startswith("VmHWM"):
                    self.most_memory = max(self.most_memory, int(line.split()[1]) // 1024)
        status = self.process.poll()
        if status is None:
            return True
        self.ended[status] = self.ended.get(status, 0) + 1
        self.process = None
        if status == 1:
            said = self.last_words()
            self.faults[said] = self.faults.get(said, 0) + 1
        return False

    def last_words(self):
        """What its last error was, with all numbers but a status made equal."""
        with self.log.open("rb") as log:
            log.seek(self.began_at)
            lines = log.read().decode(errors="replace").splitlines()
        said = [found[1] for line in lines if (found := re.match(r"(?:[\d:]+ error |kafka_replay: )(.*)", line))]
        return re.sub(r"(?<!status )\b[\d,]*\d", "#", said[-1]) if said else "nothing"

    def stop(self, how, patience=60):
        if not self.look():
            return
        self.process.send_signal(how)
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failed(f"a member did not end within {patience} s of signal {how}") from None
        self.look()


class Chaos:
    def __init__(self, arguments, folder, stack):
        self.random = random.Random(arguments.seed)
        self.arguments = arguments
        self.folder = folder
        self.survived = {}
        self.kafka = stack.enter_context(engines.Kafka(folder / "kafka"))
        self.checks = engines.Checks(self.kafka.brokers, arguments.replay, arguments.tool)
        self.checks.kafka("create", "events", PARTITIONS)
        self.checks.kafka("create", "dead", 1)
        self.search = stack.enter_context(engines.Search("opensearch", folder / "opensearch"))
        engines.post(self.search.url, f"/_index_template/{STREAM}", TEMPLATE, "PUT")
        self.rejected = 0  # by the tiny write queue, counted by the server
        self.tiny = False
        drawn = self.random.choice(["range", "cooperative-sticky"]), self.random.random() < 0.5  # also where not used
        assignor = arguments.assignor or drawn[0]
        static = drawn[1] if arguments.static is None else arguments.static
        self.configuration = f"seed {arguments.seed}, {assignor}, {'static' if static else 'dynamic'} members"
        say(self.configuration)
        self.members = [Member(self.command(i, assignor, static), folder / f"member-{i}.log")
                        for i in range(MEMBERS + 1)]  # the last one comes and goes
        self.produced = 0
        self.producing = threading.Thread(target=self.produce)
        self.production_failed = None
        stack.callback(self.end_members)

    def command(self, number, assignor, static):
        if assignor == "range":
            assignor = "range,roundrobin"  # librdkafka's default
        options = ["session.timeout.ms=6000", "heartbeat.interval.ms=500", "max.poll.interval.ms=20000",
                   f"partition.assignment.strategy={assignor}"]
        if static:
            options.append(f"group.instance.id=member-{number}")
        return [str(self.arguments.replay), "--brokers", self.kafka.brokers, "--url", self.search.url, "--topic",
                "events", "--group", GROUP, "--error-topic", "", "--data-stream", STREAM, "--dead-letter-topic", "dead",
                "--on-invalid", "dead_letter", "--budget-bytes", "16MiB", "--batch-size", "1000", "--drain-timeout",
                "5", "--quiet", "--format", "json", *(part for option in options for part in ("-X", option))]

    def produce(self):
        """All records, spread over most of the time."""
        try:
            steps = max(1, self.arguments.seconds // 2)
            for step in range(steps):
                began = time.monotonic()
                until = self.arguments.records * (step + 1) // steps
                self.checks.kafka("produce", "events", PARTITIONS, until - self.produced, self.produced, POISON_EVERY)
                self.produced = until
                time.sleep(max(0.0, 0.9 * self.arguments.seconds / steps - (time.monotonic() - began)))
        except Exception as error:  # pylint: disable=broad-except  # told by the main thread
            self.production_failed = error

    # --- faults: each leaves everything started ---

    def kill_member(self):
        member = self.random.choice([m for m in self.members if m.look()] or self.members[:1])
        member.stop(signal.SIGKILL)
        time.sleep(self.random.uniform(0, 3))

    def stop_member(self):
        member = self.random.choice([m for m in self.members if m.look()] or self.members[:1])
        member.stop(signal.SIGTERM)
        time.sleep(self.random.uniform(0, 2))

    def join(self):
        self.members[-1].start() if not self.members[-1].look() else self.members[-1].stop(signal.SIGTERM)

    def stop_search(self):
        self.count_rejections()
        self.search.stop(self.random.choice([signal.SIGTERM, signal.SIGKILL]))
        time.sleep(self.random.uniform(0, 8))
        # The first time in any case, or a short run may never see it.
        self.tiny = self.random.random() < 0.5 or "with a tiny write queue" not in self.survived
        self.search.command = [part for part in self.search.command if not part.startswith("thread_pool.write")]
        if self.tiny:
            self.search.command += ["thread_pool.write.size=1", "thread_pool.write.queue_size=1"]
            self.survived["with a tiny write queue"] = self.survived.get("with a tiny write queue", 0) + 1
        self.search.start()

    def count_rejections(self):
        """A server forgets them when it stops, so they are asked for before."""
        if self.tiny:
            self.rejected += engines.write_rejections(self.search.url, None)

    def stop_broker(self):
        self.kafka.stop(self.random.choice([signal.SIGTERM, signal.SIGKILL]))
        time.sleep(self.random.uniform(0, 5))
        self.kafka.start()

    def keep_members(self):
        """Who has ended is started again, but for the one that comes and goes."""
        for member in self.members[:MEMBERS]:
            if not member.look():
                member.start()
        self.members[-1].look()
        if self.production_failed:
            raise Failed(f"producing: {self.production_failed}")

    def end_members(self):
        for member in self.members:
            with contextlib.suppress(Failed, OSError):
                member.stop(signal.SIGKILL)

    # --- the run ---

    def run(self):
        faults = {"members killed": self.kill_member, "members stopped": self.stop_member,
                  "joined or left": self.join, "search server stopped or killed": self.stop_search,
                  "broker stopped or killed": self.stop_broker}
        began = time.monotonic()
        self.keep_members()
        self.producing.start()
        schedule = []
        while time.monotonic() - began < self.arguments.seconds:
            time.sleep(self.random.uniform(0.2, 3))
            if not schedule:  # each of them, in another order each time
                schedule = list(faults)
                self.random.shuffle(schedule)
            fault = schedule.pop()
            faults[fault]()
            self.survived[fault] = self.survived.get(fault, 0) + 1
            self.keep_members()
        self.producing.join()
        self.keep_members()
        say(f"no more faults after {time.monotonic() - began:.0f} s, {self.produced:,} records are in Kafka")
        healed = time.monotonic()
        while not self.at_end():
            if time.monotonic() - healed > HEALED_WITHIN:
                raise Failed(f"the group is not at the ends {HEALED_WITHIN} s after the last fault: " +
                             self.checks.kafka("lag", "events", GROUP).replace("\n", "; "))
            time.sleep(0.5)
            self.keep_members()
        say(f"the group is at the ends {time.monotonic() - healed:.0f} s after the last fault")
        self.count_rejections()
        for member in self.members:
            member.stop(signal.SIGTERM)

    def at_end(self):
        try:
            lines = [line.split() for line in self.checks.kafka("lag", "events", GROUP).splitlines()]
        except subprocess.CalledProcessError:
            return False
        return bool(lines) and all(committed == end for _, committed, end in lines) and \
            sum(int(end) for _, _, end in lines) == self.arguments.records

    def verify(self):
        records = self.arguments.records
        expected = {}  # of the dead letters: partition, offset → type
        for number in range(records):
            if number % POISON_EVERY in (7, 13):
                where = (number % PARTITIONS, number // PARTITIONS)
                expected[where] = "invalid" if number % POISON_EVERY == 7 else "mapper_parsing_exception"
        found = self.checks.count(self.search.url, STREAM)
        good = records - len(expected)
        check(found == good, f"{found:,} of {good:,} good records are in the index, once")
        self.checks.compare_sample("events", self.search.url, STREAM, max(1, records // PARTITIONS // 250), expected)
        letters = [line.split() for line in self.checks.kafka("letters", "dead").splitlines()]
        seen = {(int(partition), int(offset)): kind for partition, offset, kind in letters}
        missing = {where: kind for where, kind in expected.items() if seen.get(where) != kind}
        check(not missing, f"{len(expected):,} bad records are in the dead-letter topic ({len(letters):,} letters)"
              + (f"; missing {list(missing.items())[:3]}" if missing else ""))
        surplus = [where for where in seen if where not in expected]
        check(not surplus, "and no good one is" + (f": {surplus[:3]}" if surplus else ""))
        lags = [line.split() for line in self.checks.kafka("lag", "events", GROUP).splitlines()]
        check(all(committed == end for _, committed, end in lags), "committed offsets are the ends")
        most = max(member.most_memory for member in self.members)
        check(most <= MEMORY_LIMIT, f"no member used more than {most} MiB (the limit is {MEMORY_LIMIT})")
        ended, faults = {}, {}
        for member in self.members:
            for status, times in member.ended.items():
                ended[status] = ended.get(status, 0) + times
            for said, times in member.faults.items():
                faults[said] = faults.get(said, 0) + times
        say(self.configuration)
        say("survived: " + ", ".join(f"{times} {what}" for what, times in self.survived.items()))
        say(f"{sum(member.starts for member in self.members)} starts of members; they ended with "
            + ", ".join(f"{status} {times} times" for status, times in sorted(ended.items())))
        unexpected = [status for status in ended if status not in self.arguments.expected_status]
        for said, times in faults.items():
            say(f"status 1, {times} times: {said}")
        check(not unexpected, "no member ended in a way that nobody had asked for" +
              (f": {unexpected}" if unexpected else ""))
        unknown = [said for said in faults if not known(said)]
        check(not unknown, "each that ended with 1 said why, and the faults here explain it" +
              (f": {unknown}" if unknown else ""))
        check(self.rejected > 0 or not self.survived.get("with a tiny write queue"),
              f"the tiny write queue refused {self.rejected:,} times")


def known(said):
    """Whether all faults of it are known ones."""
    return all(any(fault.fullmatch(part) for fault in KNOWN_FAULTS) for part in said.split("; "))


def main():
    parser = argparse.ArgumentParser(prog="run chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--replay", type=pathlib.Path, default=engines.ROOT / "build/release/bin/kafka_replay")
    parser.add_argument("--tool", type=pathlib.Path, default=engines.ROOT / "build/release/bin/kafka_tool")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=1800, help="how long faults go on")
    parser.add_argument("--assignor", choices=["range", "cooperative-sticky"], help="instead of what the seed draws")
    parser.add_argument("--static", action=argparse.BooleanOptionalAction, help="members; or what the seed draws")
    parser.add_argument("--short", action="store_true", help="60,000 records, 50 seconds: for CI")
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for the logs of a run that failed")
    arguments = parser.parse_args()
    if arguments.short:
        arguments.records, arguments.seconds = 60_000, 50
    # Killed, stopped by us, or started while a server was away.
    arguments.expected_status = (-signal.SIGKILL, 0, 1, 3, 4, 130)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bulkhead-chaos-")))
            chaos = Chaos(arguments, folder, stack)
            try:
                chaos.run()
                chaos.verify()
            except Failed:
                for member in chaos.members:
                    if member.log.exists():
                        say(f"--- {member.log.name} ---")
                        say(member.log.read_text(encoding="utf-8", errors="replace")[-2000:])
                        if arguments.keep:
                            arguments.keep.mkdir(exist_ok=True)
                            (arguments.keep / member.log.name).write_bytes(member.log.read_bytes())
                raise
    except engines.Skipped as reason:
        return engines.skipped("chaos", reason)
    except (Failed, urllib.error.URLError, subprocess.SubprocessError) as reason:
        say(f"chaos: FAILED: {reason}")
        return 1
    except KeyboardInterrupt:
        say("chaos: interrupted")
        return 130
    say("chaos: every record is where it belongs")
    return 0


if __name__ == "__main__":
    os.environ.setdefault("MALLOC_ARENA_MAX", "4")
    sys.exit(main())
