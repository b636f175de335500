#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Watches a running kafka_replay by its --metrics port, and sees that the dashboard, the alerts and the page use only what
such a scrape holds. With promtool (build/tools/promtool, or in PATH) also that the rules fire when they should.

Usage: monitor.py KAFKA_REPLAY
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MONITORING = ROOT / "docs" / "monitoring"
PATIENCE = 60  # seconds, for what comes when it comes
failures = 0


def check(good, what):
    global failures
    failures += not good
    print(f"{'ok  ' if good else 'FAIL'} {what}")


def get(url, **how):
    """(status, headers, text)"""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, **how), timeout=10) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def until(what, attempt):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = attempt()
        if found:
            return found
        time.sleep(0.05)
    sys.exit(f"FAIL {what} did not happen within {PATIENCE} s")


def series(text):
    """{name: {label: values}} and {series: value} of a scrape."""
    names, values = {}, {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        which, value = line.rsplit(" ", 1)
        values[which] = float(value)
        name, _, labels = which.partition("{")
        known = names.setdefault(name, {})
        for label, text_of in re.findall(r'(\w+)="([^"]*)"', labels):
            known.setdefault(label, set()).add(text_of)
    return names, values


def unknown(expression, names):
    """What an expression uses that no scrape holds."""
    wrong = []
    for name, labels in re.findall(r"\b(bulkhead_\w+)(?:\{([^}]*)\})?", expression):
        if name not in names:
            wrong.append(name)
            continue
        for label, how, values in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', labels):
            if label in ("job", "instance"):
                continue
            for value in values.split("|") if "~" in how else [values]:
                if value not in names[name].get(label, ()):
                    wrong.append(f"{name}{{{label}={value}}}")
    for by in re.findall(r"\bby \(([^)]*)\)", expression):
        for label in by.replace(" ", "").split(","):
            if label not in ("job", "instance", "le") and not any(label in known for known in names.values()):
                wrong.append(f"by ({label})")
    return wrong


def dashboard_expressions():
    board = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
    return [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])] + [
        variable["query"]["query"] for variable in board["templating"]["list"] if variable["type"] == "query"]


def with_promtool(scrape):
    tool = next((str(path) for path in (ROOT / "build/tools/promtool",) if path.exists()), shutil.which("promtool"))
    if tool is None:
        if os.environ.get("CI"):
            check(False, "promtool is not there")
        print("skipped: promtool is not there, so the rules were not run")
        return
    done = subprocess.run([tool, "check", "metrics"], input=scrape, capture_output=True, text=True)
    check(done.returncode == 0 and not done.stderr, "promtool check metrics" + done.stdout + done.stderr)
    done = subprocess.run([tool, "test", "rules", MONITORING / "alerts_test.yml"], capture_output=True, text=True)
    check(done.returncode == 0, "promtool test rules" + ("" if done.returncode == 0 else done.stdout + done.stderr))
    with tempfile.TemporaryDirectory() as folder:
        rules = [{"record": f"panel:{i}", "expr": re.sub(r"\$__rate_interval", "1m", re.sub(r"\$\{?\w+\}?", ".*", text)
                                                         if "$__rate" not in text else
                                                         re.sub(r"\$(job|instance)", ".*", text))}
                 for i, text in enumerate(dashboard_expressions()) if not text.startswith("label_values")]
        path = pathlib.Path(folder) / "panels.yml"
        path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))  # JSON is YAML
        done = subprocess.run([tool, "check", "rules", path], capture_output=True, text=True)
        check(done.returncode == 0, f"promtool reads the dashboard's {len(rules)} expressions"
              + ("" if done.returncode == 0 else done.stdout + done.stderr))


def main():
    replay = sys.argv[1]
    with tempfile.TemporaryFile("w+") as said:
        running = subprocess.Popen([replay, "--metrics", "0", "--messages", "200000", "--rate", "5000"],
                                   stdout=subprocess.PIPE, stderr=said, text=True)

        def spoken():
            said.seek(0)
            return said.read()
        try:
            url = until("the port", lambda: re.search(r"http://127\.0\.0\.1:\d+(?=\n)", spoken()))[0]
            until("readiness", lambda: get(url + "/readyz")[0] == 200)
            check(get(url + "/healthz")[0] == 200, "/healthz is 200")

            def settled():
                text = get(url + "/metrics")[2]
                return text if series(text)[1]['bulkhead_operations_settled_total{outcome="indexed"}'] > 0 else None
            scrape = until("the first document", settled)
            names, values = series(scrape)
            check(values["bulkhead_kafka_records_consumed_total"] > 0, "records are consumed")
            check(values["bulkhead_settle_duration_seconds_count"] > 0, "latencies are there")
            check('bulkhead_health{state="ok"}' in values, "the health is there")

            for text in dashboard_expressions():
                wrong = unknown(text, names)
                if wrong:
                    check(False, f"dashboard.json: {wrong} in {text}")
            alerts = (MONITORING / "alerts.yml").read_text(encoding="utf-8")
            expressions = re.findall(r"^ +expr: (?:>-\n)?((?:.|\n)*?)(?=^ +(?:labels|for):)", alerts, re.M)
            check(len(expressions) == alerts.count("- alert:"), f"{len(expressions)} alerts are read")
            check(len(dashboard_expressions()) > 40, f"{len(dashboard_expressions())} expressions of the dashboard are read")
            for text in expressions:
                wrong = unknown(text, names)
                if wrong:
                    check(False, f"alerts.yml: {wrong} in {text}")

            status, headers, page = get(url + "/")
            check(status == 200 and "default-src 'none'" in headers["Content-Security-Policy"], "the page is there")
            used = {"bulkhead_" + name for pair in re.findall(r"\bof\(s, (?:'([^']+)'|\"([^\"]+)\")\)", page) for name in pair if name}
            used |= {f'bulkhead_{name}_count' for name in re.findall(r'quantile\("(\w+)"', page)}
            check(len(used) > 12 and used <= values.keys(), f"the page's {len(used)} series are in the scrape"
                  + "".join(f"; not {name}" for name in used - values.keys()))
            check(all(f'kafka_records_passed_over_total{{reason="{why}"}}' in page for why in ("invalid", "skipped")),
                  "the page shows invalid and skipped records [F276]")
            check(not re.search(r"(src|href)=\"(?!/)|@import|//[a-z]+\.", page.replace("http://www.w3.org/2000/svg", "")),
                  "the page loads nothing from elsewhere")
            check(get(url + "/nothing")[0] == 404, "another path is 404")
            check(get(url + "/metrics", method="POST", data=b"x")[0] == 405, "another method is 405")
            with_promtool(scrape)

            port = url.rsplit(":", 1)[1]
            second = subprocess.run([replay, "--metrics", port, "--messages", "10"], capture_output=True, text=True, timeout=60)
            check(second.returncode == 1 and f"--metrics {port}: " in second.stderr, "a port in use: " + second.stderr.strip())
            wrong = subprocess.run([replay, "--metrics", "all:x"], capture_output=True, text=True, timeout=60)
            check(wrong.returncode == 2 and "expected [ADDRESS:]PORT" in wrong.stderr, "nonsense: " + wrong.stderr.strip())
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(timeout=PATIENCE)
        check(running.returncode == 0, "it ends by Ctrl-C while it is watched")
        if failures:
            print(spoken()[-3000:])
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
