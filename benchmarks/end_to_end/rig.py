#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Runs `_bulk` clients against the null sink, interleaved in rounds, and prints tables.

Each run has a sink of its own, which counts the documents; a run whose counts differ fails. CPU is the client's own,
user and system, between its first document and the end of its close. Ratios are taken within a round, since a
machine's speed moves; the tables show the median of them. Documents: 1,024 different JSON log events of exactly 400
bytes, seeded, loaded before the clock starts and used in turn.
"""
import argparse
import json
import os
import pathlib
import platform
import random
import signal
import statistics
import shutil
import subprocess
import sys
import tempfile

import plot

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BYTES = 400
MIB = 1 << 20

# name: (program, environment, documents). Client rows of the table; the second is what ratios are taken to.
MAIN = {
    "raw_limit, 2 connections": ("raw_limit", {}, 8_000_000),
    "libcurl_loop+filter_path": ("libcurl_loop", {"FILTER": "1"}, 4_000_000),
    "libcurl_loop": ("libcurl_loop", {}, 4_000_000),
    "bulkhead, 5 MiB": ("bulkhead_client", {}, 8_000_000),
    "bulkhead, 5 MiB, budget 24 MiB": ("bulkhead_client", {"BUFFER_BYTES": str(24 * MIB)}, 8_000_000),
    "bulkhead, 512 KiB": ("bulkhead_client", {"BATCH_BYTES": str(MIB // 2)}, 8_000_000),
    "bulkhead, 512 KiB, budget 8 MiB": ("bulkhead_client", {"BATCH_BYTES": str(MIB // 2), "BUFFER_BYTES": str(8 * MIB)},
                                        8_000_000),
    "bulkhead, 1,000 operations": ("bulkhead_client", {"BATCH_OPS": "1000"}, 8_000_000),
}
REFERENCE = "libcurl_loop+filter_path"
LATENCY = {
    "5 MiB": ({"LAT": "1"}, [], 4_000_000),
    "1,000 operations": ({"LAT": "1", "BATCH_OPS": "1000"}, [], 4_000_000),
    "5 MiB, the sink stalls for 3 s": ({"LAT": "1"}, ["0", "1000000"], 2_000_000),
    "the same, by the thread's CPU time": ({"LAT": "cpu"}, ["0", "1000000"], 2_000_000),
}
# The bulk helpers of other clients (benchmarks/peers), at their defaults, and with more workers where that was faster.
PEERS = {
    "bulkhead": ("bulkhead_client", {}, 8_000_000),
    "libcurl_loop+filter_path": ("libcurl_loop", {"FILTER": "1"}, 4_000_000),
    "libcurl_loop": ("libcurl_loop", {}, 4_000_000),
    "rust-elasticsearch, a loop": ("rust-elasticsearch", {}, 4_000_000),
    "rust-elasticsearch, 4 loops": ("rust-elasticsearch", {"WORKERS": "4"}, 4_000_000),
    "rust-opensearch, a loop": ("rust-opensearch", {}, 4_000_000),
    "rust-opensearch, 4 loops": ("rust-opensearch", {"WORKERS": "4"}, 4_000_000),
    "go-docappender": ("go-docappender", {}, 4_000_000),
    "go-esutil": ("go-esutil", {}, 500_000),
    "go-opensearchutil": ("go-opensearchutil", {}, 600_000),
    "java-elasticsearch": ("java-elasticsearch", {}, 80_000),
    "java-elasticsearch, legacy transport": ("java-elasticsearch-legacy", {}, 80_000),
    "java-opensearch": ("java-opensearch", {}, 500_000),
    "js-elasticsearch": ("js-elasticsearch", {}, 700_000),
    "js-opensearch": ("js-opensearch", {}, 700_000),
    "py-streaming_bulk": ("py-streaming_bulk", {}, 250_000),
    "py-parallel_bulk": ("py-parallel_bulk", {}, 150_000),
    "py-async_streaming_bulk": ("py-async_streaming_bulk", {}, 200_000),
    "rsyslog": ("rsyslog", {}, 300_000),
    "syslog-ng": ("syslog-ng", {}, 700_000),
}
# By TLS and compressed, beside plain. CA_FILE and SINK_CERTIFICATE are added where TLS is named.
TRANSPORTS = {
    "plain": ("bulkhead_client", {}, 8_000_000),
    "TLS": ("bulkhead_client", {"TLS": "1"}, 8_000_000),
    "gzip": ("bulkhead_client", {"GZIP": "1"}, 2_000_000),
    "TLS and gzip": ("bulkhead_client", {"GZIP": "1", "TLS": "1"}, 2_000_000),
    "go-docappender, gzip 6": ("go-docappender", {"GZIP": "1"}, 500_000),
    "go-docappender, gzip 1": ("go-docappender", {"GZIP": "1", "GZIP_LEVEL": "1"}, 1_000_000),
}
# Those that have a call to hand a document in. The documents are few enough that the stall is not the half of it.
STALLED = {"bulkhead": 2_000_000, "go-docappender": 2_000_000, "go-esutil": 300_000, "go-opensearchutil": 300_000,
           "java-elasticsearch": 60_000, "java-elasticsearch, legacy transport": 60_000, "java-opensearch": 300_000}


def make_documents(path):
    rng = random.Random(4)
    words = "order payment user session cache query index shard timeout retry commit flush node request".split()
    lines = []
    for number in range(1024):
        event = {"@timestamp": f"2026-11-24T{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}.000Z",
                 "level": rng.choice(["info", "info", "info", "warn", "error"]),
                 "service": {"name": rng.choice(words), "version": f"1.{rng.randrange(30)}.0"},
                 "trace": {"id": f"{rng.getrandbits(128):032x}"}, "http": {"status": rng.choice([200, 201, 404, 500])},
                 "duration_us": rng.randrange(1_000_000), "number": number, "message": ""}
        room = BYTES - len(json.dumps(event, separators=(",", ":")))
        text = ""
        while len(text) < room:
            text += rng.choice(words) + " "
        event["message"] = text[:room]
        lines.append(json.dumps(event, separators=(",", ":")))
        assert len(lines[-1]) == BYTES
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def find(options, program):
    """The built program, if it is there: ours, or a peer."""
    return next((folder / program for folder in (options.bin, options.peer_bin) if (folder / program).exists()), None)


def measure(options, documents_file, program, environment, count, sink_options=()):
    environment = dict(environment)
    sink_environment = dict(os.environ)
    if environment.pop("TLS", None):
        environment["CA_FILE"] = sink_environment["SINK_CERTIFICATE"] = str(certificate(documents_file.parent))
    with subprocess.Popen([str(options.bin / "null_sink"), *sink_options], stdout=subprocess.PIPE, text=True,
                          env=sink_environment) as sink:
        try:
            port = sink.stdout.readline().strip()
            done = subprocess.run([str(find(options, program)), port, str(count), str(BYTES)],
                                  capture_output=True, text=True, timeout=300,
                                  env={**os.environ, "DOCS_FILE": str(documents_file), **environment})
            if done.returncode != 0:
                raise SystemExit(f"{program} ended with {done.returncode}: {done.stderr.strip()}")
            row = json.loads(done.stdout)
        finally:
            sink.send_signal(signal.SIGTERM)
        seen = json.loads(sink.stdout.read())
    if seen["documents"] != row["docs"] or row["indexed"] not in (row["docs"], -1):  # -1: the client does not count
        raise SystemExit(f"{program}: {row['docs']} documents sent, {row['indexed']} counted as indexed, the sink saw "
                         f"{seen['documents']}")
    row["most_open"] = seen["most_open"]
    row["wire"] = seen["body_bytes"] / seen["documents"]
    row["rate"] = row["docs"] / row["wall_s"]
    row["cpu"] = row["cpu_s"] / row["docs"] * 1e6
    return row


def certificate(folder):
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    file = folder / "certificate.pem"
    if not file.exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-days", "2", "-subj", "/CN=sink", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", folder / "key.pem", "-out", folder / "certificate.only"], check=True,
                       capture_output=True)
        file.write_text((folder / "certificate.only").read_text() + (folder / "key.pem").read_text())
    return file


def table(header, rows):
    """Markdown, which reads well as it is."""
    widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header))]
    def line(cells):
        return "| " + " | ".join(str(c).ljust(w) if i == 0 else str(c).rjust(w)
                                 for i, (c, w) in enumerate(zip(cells, widths))) + " |"
    ruler = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([line(header), ruler, *(line(row) for row in rows)])


def interleaved(options, documents_file, clients):
    """name: its run in each round, for those that are built."""
    built = {name: client for name, client in clients.items() if find(options, client[0])}
    for name in (name for name in clients if name not in built):
        print(f"left out: {name} (not built)", file=sys.stderr)
    runs = {name: [] for name in built}
    for number in range(options.rounds):
        for name, (program, environment, count) in built.items():
            count = max(count // options.divide, min(count, 100_000))
            row = measure(options, documents_file, program, environment, count)
            runs[name].append(row)
            print(f"round {number + 1} of {options.rounds}: {name}: {row['rate']:,.0f} documents/s, {row['cpu']:.3f} µs",
                  file=sys.stderr, flush=True)
    return runs


def spread(values, digits):
    return f"{min(values):.{digits}f} / {statistics.median(values):.{digits}f} / {max(values):.{digits}f}"


def main_phase(options, documents_file):
    runs = interleaved(options, documents_file, MAIN)
    rows = []
    for name, done in runs.items():
        reference = runs.get(REFERENCE, done)
        raw = runs["raw_limit, 2 connections"]
        rows.append([name, spread([r["rate"] / 1e6 for r in done], 2), spread([r["cpu"] for r in done], 3),
                     f"{max(r['rss_kb'] for r in done) / 1024:.0f}",
                     f"{statistics.median(a['rate'] / b['rate'] for a, b in zip(done, raw)):.0%}",
                     f"{statistics.median(a['rate'] / b['rate'] for a, b in zip(done, reference)):.2f}",
                     f"{statistics.median(a['cpu'] / b['cpu'] for a, b in zip(done, reference)):.2f}"])
    header = ["client", "million docs/s: min / med / max", "CPU µs/doc: min / med / max", "RSS MiB", "of raw_limit",
              "rate, ×", "CPU, ×"]
    return table(header, rows) + f"\n\nThe last two columns: to {REFERENCE} in the same round."


def peers_phase(options, documents_file):
    runs = interleaved(options, documents_file, PEERS)
    rows = []
    for name, done in runs.items():
        pairs = list(zip(done, runs["bulkhead"]))
        rows.append([name, spread([r["rate"] / 1e3 for r in done], 0), spread([r["cpu"] for r in done], 2),
                     f"{max(r['rss_kb'] for r in done) / 1024:.0f}", max(r["most_open"] for r in done),
                     f"{statistics.median(ours['rate'] / theirs['rate'] for theirs, ours in pairs):.1f}",
                     f"{statistics.median(theirs['cpu'] / ours['cpu'] for theirs, ours in pairs):.1f}"])
    if options.plots:
        cpu = [(name, statistics.median(r["cpu"] for r in done)) for name, done in runs.items()]
        rate = [(name, statistics.median(r["rate"] for r in done) / 1e3) for name, done in runs.items()]
        options.plots.mkdir(parents=True, exist_ok=True)
        plot.bars(options.plots / "peers_cpu.svg", "CPU of the client, µs for a document of 400 bytes",
                  [(name, value, f"{value:.2f}") for name, value in cpu])
        plot.bars(options.plots / "peers_rate.svg", "Thousand documents a second, two cores shared with the endpoint",
                  [(name, value, f"{value:,.0f}") for name, value in rate])
    header = ["client", "thousand docs/s: min / med / max", "CPU µs/doc: min / med / max", "RSS MiB", "open requests",
              "slower, ×", "more CPU, ×"]
    return table(header, rows) + "\n\nThe last two columns: than bulkhead in the same round."


def cipher_cost(wire_bytes):
    """Microseconds that OpenSSL's own benchmark needs to encrypt so many bytes in full records."""
    done = subprocess.run(["openssl", "speed", "-elapsed", "-seconds", "2", "-bytes", "16384", "-evp", "aes-256-gcm"],
                          capture_output=True, text=True, check=True)
    thousand_bytes = float(done.stdout.strip().splitlines()[-1].split()[-1].rstrip("k"))
    return wire_bytes / thousand_bytes * 1e3


def transports_phase(options, documents_file):
    if not shutil.which("openssl"):
        raise SystemExit("openssl is needed: apt-get install openssl")
    runs = interleaved(options, documents_file, TRANSPORTS)
    rows = []
    for name, done in runs.items():
        rows.append([name, spread([r["rate"] / 1e6 for r in done], 2), spread([r["cpu"] for r in done], 3),
                     f"{max(r['rss_kb'] for r in done) / 1024:.0f}",
                     f"{statistics.median(r['wire'] for r in done):.0f}",
                     f"{statistics.median(a['cpu'] / b['cpu'] for a, b in zip(done, runs['plain'])):.2f}"])
    cipher = cipher_cost(BYTES + 30)
    plain, tls = (statistics.median(r["cpu"] for r in runs[name]) for name in ("plain", "TLS"))
    said = (f"openssl speed: AES-256-GCM costs {cipher:.3f} µs for a document's bytes. TLS {tls:.3f} µs, twice plain plus "
            f"that {2 * plain + cipher:.3f} µs.")
    for peer in (name for name in runs if name.startswith("go-")):
        ratio = statistics.median(a["cpu"] / b["cpu"] for a, b in zip(runs[peer], runs["gzip"]))
        said += f" {peer}: {ratio:.1f} times our gzip's CPU in the same round."
    header = ["transport", "million docs/s: min / med / max", "CPU µs/doc: min / med / max", "RSS MiB", "bytes/doc sent",
              "CPU, × plain"]
    return table(header, rows) + "\n\n" + said


def stall_phase(options, documents_file):
    rows = []
    for name, count in STALLED.items():
        program, environment, _ = PEERS[name]
        if not find(options, program):
            continue
        row = measure(options, documents_file, program, {**environment, "LAT": "1"}, count, ["0", str(count // 3)])
        add = row["add_us"]
        rows.append([name, *(f"{add[q]:.2f}" for q in ("p50", "p99", "p999")), f"{add['max'] / 1e3:,.1f}"])
    return ("The sink stalls for 3 s after a third of the documents. How long a call takes that hands a document in:\n\n" +
            table(["client", "p50 µs", "p99 µs", "p99.9 µs", "longest ms"], rows))


def delay_phase(options, documents_file):
    environment = {"CONNECTIONS": "8"}
    count = max(8_000_000 // options.divide, 1_000_000)
    row = measure(options, documents_file, "bulkhead_client", environment, count, ["100"])
    per_bulk = -(-5 * MIB // (BYTES + 30)) - 1
    allowed = 8 * per_bulk / 0.1
    return (f"A sink that answers after 100 ms, 8 requests in flight of 5 MiB ({per_bulk:,} documents): "
            f"{row['rate']:,.0f} documents/s, {row['rate'] / allowed:.0%} of the {allowed:,.0f} that this allows.")


def latency_phase(options, documents_file):
    rows = []
    for name, (environment, sink, count) in LATENCY.items():
        for _ in range(options.rounds):
            row = measure(options, documents_file, "bulkhead_client", environment, count, sink)
            add, gap = row["add_us"], row["empty_loop_us"]
            rows.append([name, f"{add['calls']:,}", *(f"{add[q]:.2f}" for q in ("p50", "p99", "p999")),
                         f"{add['max'] / 1e3:.2f}", f"{gap['max'] / 1e3:.2f}", row["waits"], row["preempted"]])
    return table(["enqueue", "calls", "p50 µs", "p99 µs", "p99.9 µs", "longest ms", "empty loop's longest ms", "waits",
                  "preempted"], rows) + "\n\nWaits: how often the calling thread gave its core away by itself."


def machine():
    model = "unknown CPU"
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
    return f"{os.cpu_count()} cores of {model}, Linux {platform.release()}"


def main():
    parser = argparse.ArgumentParser(prog="run bench end-to-end", description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", action="store_true", help="the bulk helpers of other clients instead")
    parser.add_argument("--transports", action="store_true", help="TLS and gzip beside plain instead")
    parser.add_argument("--peer-bin", type=pathlib.Path, default=ROOT / "build/peers")
    parser.add_argument("--plots", type=pathlib.Path, help="a folder for plots of the peers, by gnuplot")
    parser.add_argument("--short", dest="divide", action="store_const", const=8, default=1, help="an eighth of it all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        documents_file = pathlib.Path(folder) / "documents.ndjson"
        make_documents(documents_file)
        print(f"{machine()}; {options.rounds} rounds\n")
        phases = ((transports_phase,) if options.transports else (peers_phase, stall_phase) if options.peers else
                  (main_phase, latency_phase, delay_phase))
        for phase in phases:
            print(phase(options, documents_file) + "\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
