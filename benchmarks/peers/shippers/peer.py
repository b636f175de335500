# SPDX-License-Identifier: BSL-1.0
"""A log shipper that reads DOCS lines from a file. peer.py (rsyslog|syslog-ng) PORT DOCS DOC_BYTES

The clock runs from the start of the daemon to its exit, so the numbers hold its start-up and the reading of the file.
It is told to end once it has taken all lines in, and sends what it still holds while it ends.
"""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOTS = pathlib.Path(__file__).resolve().parent
ACTION_LINE = len('{"index":{"_index": "logs"}}\n')
LIMIT_S = 300
BATCH_BYTES = int(os.environ.get("BATCH_BYTES") or 5 << 20)
WORKERS = int(os.environ.get("WORKERS") or 0)


def libraries(root):
    folders = {str(path.parent) for path in root.rglob("*.so*")}
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(sorted(folders))}


class Rsyslog:
    """imfile to omelasticsearch. Its batches go by number of lines: as many as make BATCH_BYTES.

    No minimum for a batch: it would add its time-out, a second, to the end. Reading outpaces sending, so batches fill.
    """

    def __init__(self, folder, source, port, count, per_batch):
        self.folder, self.size, self.all_since = folder, source.stat().st_size, None
        root = ROOTS / "rsyslog"
        modules = next(root.glob("usr/lib/*/rsyslog"))
        workers = WORKERS or 1
        config = folder / "rsyslog.conf"
        config.write_text(f"""
global(workDirectory="{folder}")
module(load="imfile")
module(load="omelasticsearch")
template(name="line" type="string" string="%msg%")
input(type="imfile" file="{source}" tag="bench" ruleset="ship" persistStateAfterSubmission="on")
ruleset(name="ship" queue.type="FixedArray" queue.size="{4 * workers * per_batch}"
        queue.workerThreads="{workers}" queue.workerThreadMinimumMessages="{per_batch}"
        queue.dequeueBatchSize="{per_batch}" queue.timeoutShutdown="{LIMIT_S * 1000}") {{
    action(type="omelasticsearch" server="http://127.0.0.1" serverport="{port}" searchIndex="logs" searchType=""
           template="line" bulkmode="on" maxbytes="{BATCH_BYTES}")
}}
""", encoding="utf-8")
        self.command = [root / "usr/sbin/rsyslogd", "-n", "-M", modules, "-i", folder / "pid", "-f", config]
        self.environment = libraries(root)

    def has_all(self):
        """imfile notes its place in the file after it has queued the lines.

        A signal that comes before it sleeps again goes unheard and is repeated a second later: hence the pause, during
        which the queue is being sent anyhow.
        """
        if self.all_since:
            return time.perf_counter() - self.all_since > 0.05
        for state in self.folder.glob("imfile-state:*"):
            try:
                if json.loads(state.read_text(encoding="utf-8"))["curr_offs"] == self.size:
                    self.all_since = time.perf_counter()
            except (OSError, ValueError):  # just being replaced
                pass
        return False


class SyslogNg:
    """file() to elasticsearch-http() of its configuration library, which has four workers by default."""

    def __init__(self, folder, source, port, count, per_batch):
        self.control, self.count = folder / "control", count
        root = ROOTS / "syslog-ng"
        modules = next(root.glob("usr/lib/syslog-ng/*/libhttp.so")).parent
        library = root / "usr/share/syslog-ng/include/scl/elasticsearch/elastic-http.conf"
        workers = f"workers({WORKERS})" if WORKERS else ""
        config = folder / "syslog-ng.conf"
        config.write_text(f"""@version: 3.38
@include "{library}"
source lines {{ file("{source}" flags(no-parse) log-fetch-limit(1000) log-iw-size(100000)); }};
destination ship {{
    elasticsearch-http(url("http://127.0.0.1:{port}/_bulk") index("logs") type("") template("$MESSAGE") timeout(60)
        batch-lines({per_batch}) batch-bytes({BATCH_BYTES}) batch-timeout(1000) log-fifo-size({8 * per_batch})
        {workers});
}};
log {{ source(lines); destination(ship); flags(flow-control); }};
""", encoding="utf-8")
        self.command = [root / "usr/sbin/syslog-ng", "--foreground", "--no-caps", "--module-path", modules,
                        "--cfgfile", config, "--persist-file", folder / "persist", "--pidfile", folder / "pid",
                        "--control", self.control]
        self.environment = libraries(root)

    def has_all(self):
        """A worker flushes what it has when it ends, while what waits in the queue for one would be lost."""
        figures = {}
        try:
            with socket.socket(socket.AF_UNIX) as control, control.makefile("r", encoding="utf-8") as answer:
                control.connect(str(self.control))
                control.sendall(b"STATS\n")
                for line in answer:
                    if line == ".\n":
                        break
                    fields = line.rstrip("\n").split(";")
                    if fields[0] == "dst.http":
                        figures[fields[-2]] = int(fields[-1])
        except OSError:  # not up yet
            return False
        return figures.get("processed") == self.count and figures.get("queued") == 0


def write_source(path, count, document_bytes):
    if "DOCS_FILE" in os.environ:
        documents = pathlib.Path(os.environ["DOCS_FILE"]).read_bytes().splitlines(keepends=True)
    else:
        documents = [b'{"m":"%s"}\n' % (b"x" * (document_bytes - 8))]
    rounds, rest = divmod(count, len(documents))
    everything = b"".join(documents)
    with path.open("wb") as file:
        for _ in range(rounds):
            file.write(everything)
        file.writelines(documents[:rest])
    return len(everything) / len(documents)


def run(daemon, log):
    """The seconds it took and what it used."""
    began = time.perf_counter()
    process = subprocess.Popen(daemon.command, env=daemon.environment, stdout=log, stderr=log)
    try:
        return watch(process, daemon, began)
    finally:
        if process.returncode is None:
            process.kill()


def watch(process, daemon, began):
    told = False
    while True:
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
        wall = time.perf_counter() - began
        if ended:
            process.returncode = os.waitstatus_to_exitcode(status)
            if not told or process.returncode != 0:
                raise RuntimeError(f"the daemon ended by itself, {process.returncode}")
            return wall, used
        if wall > LIMIT_S:
            raise RuntimeError(f"not done after {LIMIT_S} s")
        if not told and daemon.has_all():
            process.terminate()
            told = True
        time.sleep(0.01)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the daemon does not outlive this
    peer = sys.argv[1]
    port, count, document_bytes = map(int, sys.argv[2:])
    if os.environ.get("GZIP") == "1":
        sys.exit(f"{peer}: this version does not compress requests")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        source = folder / "source.log"
        line_bytes = write_source(source, count, document_bytes)
        per_batch = max(1, int(BATCH_BYTES / (line_bytes + ACTION_LINE)))
        daemon = {"rsyslog": Rsyslog, "syslog-ng": SyslogNg}[peer](folder, source, port, count, per_batch)
        log = folder / "log"
        try:
            with log.open("wb") as file:
                wall, used = run(daemon, file)
        except RuntimeError as error:
            sys.exit(f"{peer}: {error}\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
    print(json.dumps({"peer": peer, "docs": count, "wall_s": wall, "cpu_s": used.ru_utime + used.ru_stime,
                      "rss_kb": used.ru_maxrss, "indexed": -1, "failed": 0}))


if __name__ == "__main__":
    main()
