# SPDX-License-Identifier: BSL-1.0
"""Real proxies between kafka_replay and a real OpenSearch: HAProxy as TLS terminator with authentication, nginx as
limiter and load balancer, toxiproxy as a bad network; each with faults while a replay runs. At the end of each the
documents are counted at OpenSearch itself, and the fault must be seen in what the proxy or the replay reports."""
import contextlib
import getpass
import http.client
import os
import secrets
import shutil
import signal
import subprocess
import time

from engines import (CACHE, PARTITIONS, Failed, Process, Search, Skipped, check, free_port, get, indexed, post, run, say,
                     wait_for)

PACKAGES = {"haproxy": "haproxy", "nginx": "nginx-light", "openssl": "openssl"}
TOXIPROXY = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0"


def path_of(program):
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


def need(*programs):
    missing = [PACKAGES[program] for program in programs if not path_of(program)]
    if not missing:
        return
    root = [] if os.geteuid() == 0 else ["sudo"]
    try:
        run(*root, "apt-get", "update", "-qq")
        run(*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq",
            "--no-install-recommends", *missing, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Skipped(f"{' and '.join(missing)} cannot be installed ({error})") from error


class Authority:
    """A certificate authority for one run, and a certificate for this machine."""

    def __init__(self, folder):
        folder.mkdir()
        self.file, self.server = folder / "ca.pem", folder / "server.pem"
        quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        run("openssl", "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=bulkhead test CA",
            **quiet)
        (folder / "extensions").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n"
                                           "basicConstraints=critical,CA:FALSE\n")
        run("openssl", "req", *key[:-2], "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server", **quiet)
        run("openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", "extensions", "-out", "server.crt", **quiet)
        # The chain holds the authority too, as Elasticsearch's own does, so that it can be pinned.
        self.server.write_text("".join((folder / name).read_text() for name in ("server.crt", "ca.pem", "server.key")))
        shown = run("openssl", "x509", "-in", "ca.pem", "-noout", "-fingerprint", "-sha256", cwd=folder,
                    stdout=subprocess.PIPE, text=True).stdout
        self.fingerprint = shown.strip().split("=")[1]


class HAProxy(Process):
    """Ends TLS and asks for a password, in front of one server; a reload leaves connections to the old process."""

    def __init__(self, folder, authority, backend, password):
        folder.mkdir()
        self.port, self.statistics = free_port(), free_port()
        self.authority, self.backend, self.file = authority, backend, folder / "haproxy.cfg"
        self.url = f"https://localhost:{self.port}"
        self.configure(password)
        super().__init__("HAProxy", [path_of("haproxy"), "-W", "-db", "-f", self.file], folder,
                         lambda: self.statistics_of("tls") is not None)

    def configure(self, password):
        self.file.write_text(f"""
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    timeout http-keep-alive 2s
userlist users
    user elastic insecure-password {password}
frontend tls
    bind 127.0.0.1:{self.port} ssl crt {self.authority.server}
    http-request auth unless {{ http_auth(users) }}
    default_backend search
backend search
    server one {self.backend.split('//')[1]}
frontend statistics
    bind 127.0.0.1:{self.statistics}
    stats enable
    stats uri /
""", encoding="utf-8")

    def reload(self):
        self.process.send_signal(signal.SIGUSR2)

    def statistics_of(self, name):
        """The frontend's or backend's counters since the last reload."""
        connection = http.client.HTTPConnection("127.0.0.1", self.statistics, timeout=5)
        try:
            connection.request("GET", "/;csv")
            lines = connection.getresponse().read().decode().splitlines()
        except OSError:
            return None
        finally:
            connection.close()
        names = lines[0].lstrip("# ").split(",")
        for line in lines[1:]:
            row = dict(zip(names, line.split(",")))
            if row["pxname"] == name and row["svname"] in ("FRONTEND", "BACKEND"):
                return row
        return None


class Nginx(Process):
    """Two upstream servers in turn, bodies of at most 300 kB, and connections that soon idle out."""

    def __init__(self, folder, upstreams):
        folder.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.access = folder / "access.log"
        servers = "".join(f"server {url.split('//')[1]} max_fails=0;" for url in upstreams)
        (folder / "nginx.conf").write_text(f"""
daemon off;
user {getpass.getuser()};
pid {folder}/pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 512; }}
http {{
    log_format plain '$status';
    access_log {self.access} plain;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream search {{ {servers} }}
    server {{
        listen 127.0.0.1:{self.port};
        keepalive_timeout 1s;
        client_max_body_size 300k;
        location / {{ proxy_pass http://search; proxy_next_upstream off; proxy_connect_timeout 2s; }}
    }}
}}
""", encoding="utf-8")
        super().__init__("nginx", [path_of("nginx"), "-p", folder, "-c", folder / "nginx.conf", "-e",
                                   folder / "error.log"], folder, lambda: get(self.url, "/", {}) != {})

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def seen(self, status):
        return self.access.read_text().split().count(str(status))


class Forwarder(Process):
    """Another port of the same server, which can be closed: a node of a cluster, for who connects to it."""

    def __init__(self, folder, backend):
        folder.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "haproxy.cfg").write_text(f"""
defaults
    mode tcp
    timeout connect 2s
    timeout client 60s
    timeout server 60s
listen node
    bind 127.0.0.1:{self.port}
    server one {backend.split('//')[1]}
""", encoding="utf-8")
        super().__init__("node", [path_of("haproxy"), "-db", "-f", folder / "haproxy.cfg"], folder,
                         lambda: get(self.url, "/", {}) != {})


class Toxiproxy(Process):
    """A network whose faults are switched on and off."""

    def __init__(self, folder, backend):
        program = CACHE / "toxiproxy" / "server"
        if not program.exists():
            if not shutil.which("go"):
                raise Skipped("toxiproxy needs Go")
            done = subprocess.run(["go", "install", TOXIPROXY], capture_output=True, text=True,
                                  env={**os.environ, "GOBIN": str(program.parent)})
            if done.returncode != 0:
                raise Skipped(f"toxiproxy cannot be built: {done.stderr.strip().splitlines()[-1:]}")
        folder.mkdir()
        control, self.port = free_port(), free_port()
        self.control, self.url = f"http://127.0.0.1:{control}", f"http://127.0.0.1:{self.port}"
        super().__init__("toxiproxy", [program, "-host", "127.0.0.1", "-port", control], folder,
                         lambda: get(self.control, "/version", {}) != {} or self.answers())
        post(self.control, "/proxies", {"name": "search", "listen": f"127.0.0.1:{self.port}",
                                        "upstream": backend.split("//")[1], "enabled": True})

    def answers(self):
        return isinstance(get(self.control, "/proxies", []), dict)

    @contextlib.contextmanager
    def toxic(self, kind, stream="downstream", toxicity=1.0, **attributes):
        post(self.control, "/proxies/search/toxics", {"name": kind, "type": kind, "stream": stream,
                                                      "toxicity": toxicity, "attributes": attributes})
        yield
        connection = http.client.HTTPConnection(self.control.split("//")[1], timeout=5)
        connection.request("DELETE", f"/proxies/search/toxics/{kind}")
        connection.getresponse().read()
        connection.close()


class Replays:
    """Replays of one topic, each into a stream of its own."""

    def __init__(self, checks, server, topic, records):
        self.checks, self.server, self.topic, self.records = checks, server, topic, records

    def run(self, name, url, *options, meanwhile=None, pace=None):
        """`meanwhile(process, stream)` is called when the first documents are there. `pace`: records a second."""
        stream = f"{name}-{self.checks.unique}"
        if pace:
            options = (*options, "--rate", str(pace), "--batch-size", "500", "--concurrency", "4")
        process = self.checks.start(self.topic, url, stream, *options)
        if meanwhile:
            wait_for("the first documents", lambda: indexed(self.server.url, stream) > 0, process)
            meanwhile(process, stream)
        report = self.checks.finish(process)
        self.checks.verify(self.topic, self.server.url, stream, self.records, max(1, self.records // PARTITIONS // 50))
        return report

    def refused(self, url, text, *options):
        process = self.checks.start(self.topic, url, f"refused-{self.checks.unique}", *options)
        _, err = process.communicate(timeout=60)
        last = err.strip().splitlines()[-1]
        check(process.returncode == 4 and text in last, f"refused with one line: {last}")


def behind_haproxy(replays, folder):
    say("  HAProxy: TLS and authentication")
    authority = Authority(folder / "ca")
    word = secrets.token_hex(16)
    file = folder / "password"
    file.write_text(word + "\n")
    trust = ["--ca-file", str(authority.file)]
    who = ["--user", "elastic", "--password-file", str(file)]
    with HAProxy(folder / "haproxy", authority, replays.server.url, word) as proxy:
        began = time.monotonic()
        replays.run("tls", proxy.url, *trust, *who)
        replays.run("tls-pinned-gzip", proxy.url, "--ca-fingerprint", authority.fingerprint, "--gzip", *who)
        say(f"    both in {time.monotonic() - began:.1f} s")
        replays.refused(proxy.url, "its authority is not among the system's", *who)
        replays.refused(proxy.url.replace("localhost", "127.0.0.2"), "cannot be reached", *trust, *who)
        (folder / "wrong").write_text("wrong")
        replays.refused(proxy.url, "does not accept the credentials (401)", *trust, "--user", "elastic",
                        "--password-file", str(folder / "wrong"))

        def reload(process, _stream):
            for _ in range(5):
                proxy.reload()
                wait_for("HAProxy after a reload", lambda: proxy.statistics_of("tls") is not None)
            check(process.poll() is None, "it was reloaded five times under load")

        replays.run("tls-reloads", proxy.url, *trust, *who, meanwhile=reload, pace=replays.records // 6)

        def rotate(process, _stream):
            fresh = secrets.token_hex(16)
            proxy.configure(fresh)
            proxy.reload()
            wait_for("a request with the old password",
                     lambda: int((proxy.statistics_of("tls") or {}).get("hrsp_4xx") or 0) > 0, process)
            (folder / "fresh").write_text(fresh)
            (folder / "fresh").rename(file)

        report = replays.run("tls-rotation", proxy.url, *trust, *who, meanwhile=rotate, pace=replays.records // 6)
        check(report["failed_requests"] > 0, f"{report['failed_requests']} requests met a 401 before the new password")

        def outage(process, _stream):
            replays.server.stop()
            wait_for("HAProxy's 503", lambda: int((proxy.statistics_of("tls") or {}).get("hrsp_5xx") or 0) > 0, process)
            replays.server.start()

        replays.run("tls-outage", proxy.url, *trust, *who, meanwhile=outage, pace=replays.records // 6)


def behind_nginx(replays, folder):
    say("  nginx: a limit, two upstreams, reloads, and connections that idle out")
    with Forwarder(folder / "one", replays.server.url) as one, Forwarder(folder / "two", replays.server.url) as two, \
            Nginx(folder / "nginx", [one.url, two.url]) as proxy:
        replays.run("limit", proxy.url, "--batch-size", "5000")
        check(proxy.seen(413) > 0, f"nginx refused {proxy.seen(413)} requests as too large")

        def trouble(process, stream):
            for _ in range(3):
                refused = proxy.seen(502)
                proxy.reload()
                two.stop(signal.SIGKILL)
                wait_for("nginx's 502", lambda: proxy.seen(502) > refused, process)
                before = indexed(replays.server.url, stream)
                wait_for("progress", lambda: indexed(replays.server.url, stream) > before, process)
                two.start()
            check(process.poll() is None, "nginx was reloaded and an upstream killed, three times, under load")

        replays.run("upstream", proxy.url, meanwhile=trouble, pace=replays.records // 8)
        say(f"    nginx said 502 {proxy.seen(502)} times")


def several_nodes(replays, folder):
    say("  three nodes, one of which dies and comes back")
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(Forwarder(folder / f"node{i}", replays.server.url)) for i in range(3)]

        def kill(process, stream):
            for node in nodes:
                node.stop(signal.SIGKILL)
                before = indexed(replays.server.url, stream)
                wait_for("progress without it", lambda: indexed(replays.server.url, stream) > before, process)
                node.start()
            check(process.poll() is None, "each node was killed in turn under load")

        replays.run("nodes", ",".join(node.url for node in nodes), meanwhile=kill, pace=replays.records // 8)


def bad_network(replays, folder):
    say("  toxiproxy: latency, bandwidth, slices, resets, silence")
    with Toxiproxy(folder / "toxiproxy", replays.server.url) as network:

        def suffer(process, _stream):
            for kind, stream, attributes in (
                    ("latency", "downstream", {"latency": 300, "jitter": 200}),
                    ("bandwidth", "upstream", {"rate": 500}),
                    ("slicer", "downstream", {"average_size": 20, "size_variation": 10, "delay": 10}),
                    ("reset_peer", "downstream", {"timeout": 20}),
                    ("limit_data", "downstream", {"bytes": 300}),
                    ("timeout", "downstream", {"timeout": 500})):
                with network.toxic(kind, stream, **attributes):
                    time.sleep(1.5)  # a toxic works on connections, and there is no telling which have met it
            check(process.poll() is None, "six kinds of trouble while it ran")

        report = replays.run("toxic", network.url, "--request-timeout-ms", "3000", meanwhile=suffer,
                             pace=replays.records // 12)
        check(report["failed_requests"] > 0, f"{report['failed_requests']} requests failed meanwhile")


def proxies(checks, folder, records):
    """All of it, with `records` records a replay."""
    need("haproxy", "nginx", "openssl")
    folder.mkdir()
    with Search("opensearch", folder / "opensearch") as server:
        replays = Replays(checks, server, checks.topic("proxies", PARTITIONS, records), records)
        for part in (behind_haproxy, behind_nginx, several_nodes, bad_network):
            try:
                part(replays, folder)
            except Skipped as reason:
                say(f"    skipped: {reason}")
