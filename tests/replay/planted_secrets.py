#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Plants random secrets where secrets are (URL, password, API key, Kafka's passwords, documents), lets a server misbehave
in every way that might get them repeated, and looks for them in all that kafka_replay says. [F130][F161][F162][F168]

Argument: the path of kafka_replay."""
import base64
import http.server
import json
import os
import pathlib
import secrets
import subprocess
import sys
import tempfile
import threading

EVENTS = 400


class Misbehaving(http.server.BaseHTTPRequestHandler):
    """Repeats in its answers whatever it was given."""
    protocol_version = "HTTP/1.1"
    requests = 0
    seen_authorization = set()

    def log_message(self, *_):
        pass

    def answer(self, status, body, content_type="application/json", **headers):
        data = body.encode()
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path == "/":
            self.answer(200, json.dumps({"version": {"number": "8.19.0"}}))
        elif self.path.endswith("_count"):
            self.answer(200, '{"count":0}')
        else:
            self.answer(404, "{}")

    def do_PUT(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(200, "{}")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode(errors="replace")
        authorization = self.headers.get("Authorization", "")
        type(self).seen_authorization.add(authorization)
        if "_bulk" not in self.path:
            return self.answer(200, "{}")
        type(self).requests += 1
        quoted = f"you sent {authorization}: {body[:2000]}"
        if not body.startswith("{"):
            quoted = "no bulk"
        error = {"error": {"type": "some_exception", "reason": quoted, "caused_by": {"reason": quoted}}}
        kind = self.requests
        if kind == 1:
            return self.answer(401, json.dumps(error), WWW_Authenticate=f"Basic realm={authorization}")
        if kind == 2:
            return self.answer(403, quoted, "text/plain")
        if kind == 3:
            return self.answer(502, f"<html>{quoted}</html>", "text/html")
        if kind == 4:
            return self.answer(429, json.dumps(error), Retry_After="0")
        if kind == 5:
            return self.answer(200, f"<html>{quoted}</html>", "text/html")
        if kind == 6:
            return self.answer(302, quoted, Location=f"http://127.0.0.1:1/{authorization.replace(' ', '')}")
        if kind == 7:  # neither HTTP nor anything else
            self.wfile.write((quoted + "\r\n\r\n").encode())
            self.close_connection = True
            return None
        if kind == 8:
            return self.answer(500, json.dumps(error))
        if kind == 9:
            return self.answer(400, json.dumps(error))
        lines = body.splitlines()
        items = []
        for i in range(0, len(lines), 2):
            failed = {"create": {"status": 400, "error": {
                "type": "document_parsing_exception",
                "reason": f"failed to parse. Preview of field's value: '{lines[i + 1]}'",
                "caused_by": {"type": "illegal_argument_exception", "reason": lines[i + 1]}}}}
            items.append(failed if i % 6 == 0 else {"create": {"status": 201}})
        return self.answer(200, json.dumps({"errors": True, "items": items}))


def main():
    replay = sys.argv[1]
    secret = {name: name[0].upper() + secrets.token_hex(12) for name in
              ("password", "url_password", "api_key", "document", "sasl", "environment")}
    failures = 0
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work)
        events = folder / "events.ndjson"
        events.write_text("".join(json.dumps({"service_name": "shop", "message": f"{secret['document']} {i}",
                                              "labels": {"card": secret["document"]}}) + "\n" for i in range(EVENTS)))
        (folder / "password").write_text(secret["password"] + "\n")
        (folder / "key").write_text(base64.b64encode(f"id:{secret['api_key']}".encode()).decode())
        runs = {
            "password": (["--user", "elastic", "--password-file", str(folder / "password")], "", {}),
            "URL": ([], f"elastic:{secret['url_password']}@", {}),
            "API key": (["--api-key-file", str(folder / "key")], "", {}),
            "environment": (["--user", "elastic"], "", {"ELASTICSEARCH_PASSWORD": secret["environment"]}),
        }
        hidden = list(secret.values())
        for text in list(secret.values()):  # as they travel, too
            for user in ("elastic", "id"):
                hidden.append(base64.b64encode(f"{user}:{text}".encode()).decode()[:-4][8:])
        for name, (options, userinfo, environment) in runs.items():
            Misbehaving.requests = 0
            Misbehaving.seen_authorization = set()
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            report = folder / "report.json"
            url = f"http://{userinfo}127.0.0.1:{server.server_address[1]}"
            done = subprocess.run(
                [replay, "--brokers", "embedded", "--input", str(events), "--url", url, "--batch-size", "50",
                 "--on-rejected", "skip",
                 "--install-template", "--report", str(report), "-X", f"sasl.password={secret['sasl']}", "-X",
                 f"ssl.key.password={secret['sasl']}", "--error-topic", "", *options],
                capture_output=True, text=True, timeout=120, env={**os.environ, **environment})
            server.shutdown()
            said = done.stdout + done.stderr + (report.read_text() if report.exists() else "")
            found = [text for text in hidden if text in said]
            travelled = any(len(text) > 10 for text in Misbehaving.seen_authorization)
            good = not found and travelled and Misbehaving.requests > 10 and "document_parsing_exception" in said
            failures += not good
            print(f"{'ok  ' if good else 'FAIL'} {name}: {Misbehaving.requests} requests, "
                  f"{len(said):,} characters said, {len(found)} of {len(hidden)} secrets found in them")
            if not good:
                print(done.stderr[-3000:])
        # What is refused before anything is started, and where nobody is.
        for arguments in (["--url", f"http://elastic:{secret['url_password']}@127.0.0.1:0"],
                          ["--url", f"http://elastic:{secret['url_password']}@127.0.0.1:1"],
                          ["--url", f"http://elastic:{secret['url_password']}@search.example:9200"],
                          ["--url", f"ftp://{secret['url_password']}@127.0.0.1"],
                          ["-X", f"sasl.password {secret['sasl']}"],
                          ["-X", f"security.protocol={secret['sasl']}"]):
            server = [] if "--url" in arguments else ["--url", "embedded"]
            done = subprocess.run([replay, "--messages", "10", "--brokers", "embedded", *server, *arguments],
                                  capture_output=True, text=True, timeout=60)
            said = done.stdout + done.stderr
            good = done.returncode != 0 and not any(text in said for text in hidden)
            failures += not good
            print(f"{'ok  ' if good else 'FAIL'} refused: {said.strip().splitlines()[-1] if said.strip() else 'nothing'}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
