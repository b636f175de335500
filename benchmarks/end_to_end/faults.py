#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""What is lost, held twice, or reported as indexed and not there: bulk helpers before an endpoint with one fault each.

Every document has a number of its own and no id, as log events have; the endpoint keeps what it has said to have taken, or has
taken without being able to say so. Each helper runs with its defaults, but for the size of its requests. What it reports
is what its own counters say; an error that it raises or prints is shown as such, not held against it.
"""
import argparse
import asyncio
import collections
import gzip
import json
import os
import pathlib
import sys
import tempfile

import rig

DOCUMENTS = 5_000
BATCH_BYTES = 100_000  # 20 requests or so
PATIENCE = 90.0  # seconds for one run
FAULTY = 3  # the request that meets the fault

# name: (program, environment). Those of the table, each in its newest version.
CLIENTS = {
    "bulkhead, client_id": ("bulkhead_client", {"DUPLICATES": "client_id", "LAT": "1"}),
    "bulkhead, as it comes": ("bulkhead_client", {"LAT": "1"}),
    "go-elasticsearch esutil": ("go-esutil", {"LAT": "1"}),
    "go-docappender": ("go-docappender", {"LAT": "1"}),
    "opensearch-go opensearchutil": ("go-opensearchutil", {"LAT": "1"}),
    "elasticsearch-java BulkIngester": ("java-elasticsearch", {"LAT": "1"}),
    "opensearch-java BulkIngester": ("java-opensearch", {"LAT": "1"}),
    "elasticsearch-js helpers.bulk": ("js-elasticsearch", {"LAT": "1"}),
    "elasticsearch-py streaming_bulk": ("py-streaming_bulk", {"LAT": "1"}),
}


class Endpoint:
    """A `_bulk` endpoint. `fault(self, number, body, numbers)`: what becomes of a request, see below; None: it is taken."""

    def __init__(self, fault):
        self.fault = fault
        self.held = collections.Counter()  # by document number
        self.ids = set()
        self.requests = 0
        self.until = 0.0  # the loop's time at which a stall ends

    def take(self, operation, number):
        """Stores one document; its item of the answer."""
        identity = operation.get("_id")
        if identity is not None and identity in self.ids:
            return {"create": {"_index": "logs", "_id": identity, "status": 409, "error": {
                "type": "version_conflict_engine_exception", "reason": "document already exists"}}}
        if identity is None:
            identity = f"auto{sum(self.held.values())}"
        self.ids.add(identity)
        self.held[number] += 1
        return {"create": {"_index": "logs", "_id": identity, "_version": 1, "result": "created", "status": 201,
                           "_shards": {"total": 1, "successful": 1, "failed": 0}, "_seq_no": 1, "_primary_term": 1}}

    @staticmethod
    def refuse(status, kind):
        return {"create": {"_index": "logs", "_id": None, "status": status, "error": {"type": kind, "reason": kind}}}

    async def serve(self, reader, writer):
        try:
            while await self.one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        fields = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in head[1:] if line)}
        if fields.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        bulk = "_bulk" in target
        if bulk:
            self.requests += 1
        number = self.requests  # others may come while the body is read
        if bulk and self.fault.closes_early and number == FAULTY:
            await reader.readexactly(1_000)
            return False
        if fields.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                body += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readuntil(b"\r\n")
        else:
            body = await reader.readexactly(int(fields.get("content-length", "0")))
        if not bulk:
            return self.say(writer, fields, 200, {"name": "n", "cluster_name": "c", "tagline": "You Know, for Search",
                                                  "version": {"number": "9.1.0", "build_flavor": "default"}})
        if fields.get("content-encoding") == "gzip":  # a helper's default
            body = gzip.decompress(body)
        lines = body.decode().splitlines()
        operations = [(json.loads(lines[i])["create"], json.loads(lines[i + 1])["number"])
                      for i in range(0, len(lines), 2)]
        return await self.fault.answer(self, writer, fields, number, operations, len(body))

    def say(self, writer, fields, status, value, **more):
        text = json.dumps(value).encode()
        kind = "application/vnd.elasticsearch+json;compatible-with=9" if "compatible" in fields.get("accept", "") else \
            "application/json"
        head = [f"HTTP/1.1 {status} X", f"content-type: {kind}", "X-elastic-product: Elasticsearch",
                f"content-length: {len(text)}", *(f"{k.replace('_', '-')}: {v}" for k, v in more.items())]
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + text)
        return True

    def items(self, writer, fields, items, errors=None):
        wrong = any("error" in item["create"] for item in items)
        return self.say(writer, fields, 200, {"took": 1, "errors": wrong if errors is None else errors, "items": items})


class Fault:
    """Takes everything. The others say what is different."""
    name = "none"
    closes_early = False

    async def answer(self, end, writer, fields, number, operations, size):
        return end.items(writer, fields, [self.item(end, number, i, *op) for i, op in enumerate(operations)])

    def item(self, end, _number, _at, operation, document):
        return end.take(operation, document)


class Items429(Fault):
    name = "every other item 429, once"

    def item(self, end, number, at, operation, document):
        if number == FAULTY and at % 2:
            return end.refuse(429, "es_rejected_execution_exception")
        return end.take(operation, document)


class Lies(Items429):
    name = 'the same, but "errors": false'

    async def answer(self, end, writer, fields, number, operations, size):
        items = [self.item(end, number, i, *op) for i, op in enumerate(operations)]
        return end.items(writer, fields, items, errors=False)


class Whole429(Fault):
    name = "429 for two whole requests, Retry-After: 1"

    async def answer(self, end, writer, fields, number, operations, size):
        if number in (FAULTY, FAULTY + 1):
            return end.say(writer, fields, 429, {"error": {"type": "circuit_breaking_exception", "reason": "full"},
                                                 "status": 429}, Retry_After="1")
        return await super().answer(end, writer, fields, number, operations, size)


class TooLarge(Fault):
    name = "413 above 60,000 bytes"

    async def answer(self, end, writer, fields, number, operations, size):
        if size > 60_000:
            return end.say(writer, fields, 413, {"error": "too large", "status": 413})
        return await super().answer(end, writer, fields, number, operations, size)


class Reset(Fault):
    name = "reset after applying, once"

    async def answer(self, end, writer, fields, number, operations, size):
        if number == FAULTY:
            for op in operations:
                end.take(*op)
            writer.transport.abort()
            return False
        return await super().answer(end, writer, fields, number, operations, size)


class Short(Fault):
    name = "half of a request applied and answered, once"

    async def answer(self, end, writer, fields, number, operations, size):
        if number == FAULTY:
            operations = operations[:len(operations) // 2]
        return await super().answer(end, writer, fields, number, operations, size)


class Poison(Fault):
    name = "one document refused (400)"
    refused = 1

    def item(self, end, _number, _at, operation, document):
        return end.refuse(400, "document_parsing_exception") if document == 700 else end.take(operation, document)


class Stall(Fault):
    name = "nothing answered for 3 s"

    async def answer(self, end, writer, fields, number, operations, size):
        if number == FAULTY:
            end.until = asyncio.get_running_loop().time() + 3
        if number >= FAULTY:
            await asyncio.sleep(max(0.0, end.until - asyncio.get_running_loop().time()))
        return await super().answer(end, writer, fields, number, operations, size)


class CloseInTheMiddle(Fault):
    name = "closed in the middle of a request, once"
    closes_early = True


FAULTS = [Fault, Items429, Lies, Whole429, TooLarge, Reset, Short, Poison, Stall, CloseInTheMiddle]


async def run(options, program, environment, documents_file, fault):
    """What came of it: a row."""
    end = Endpoint(fault())
    server = await asyncio.start_server(end.serve, "127.0.0.1", 0, limit=1 << 20)
    port = server.sockets[0].getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        str(rig.find(options, program)), str(port), str(DOCUMENTS), str(rig.BYTES), stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, env={**os.environ, "DOCS_FILE": str(documents_file), "BATCH_BYTES": str(BATCH_BYTES),
                                             **environment})
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    except asyncio.TimeoutError:
        process.kill()
        out, err = await process.communicate()
        err += b"\nkilled: it did not end"
    server.close()
    report = {}
    if out.strip().startswith(b"{"):
        report = json.loads(out.strip().splitlines()[-1])
    said = err.decode(errors="replace").strip()
    row = {"missing": DOCUMENTS - len(end.held), "twice": sum(n - 1 for n in end.held.values()),
           "failed": report.get("failed", -1), "raised": process.returncode != 0 and not report, "said": said,
           "blocked": report.get("add_us", {}).get("max", -1e6) / 1e6, "not_there": -1, "silent": -1}
    if report and report["indexed"] >= 0:
        row["not_there"] = max(0, report["indexed"] - len(end.held))
        row["silent"] = max(0, row["missing"] - max(0, report["failed"]))
    return row


def cell(row):
    """What went wrong, or `-`. A longest call above a second is told as what its caller was blocked."""
    said = []
    if row["missing"]:
        if row["raised"]:
            how = "an error was raised" if "did not end" not in row["said"] else "it did not end"
        elif row["silent"] == 0:
            how = "reported"
        elif row["silent"] < 0:
            how = "not counted by it"
        else:
            how = "lost" if row["silent"] == row["missing"] else f"{row['silent']:,} of them lost"
        said.append(f"{row['missing']:,} missing: {how}")
    if row["twice"]:
        said.append(f"{row['twice']:,} twice")
    if row["not_there"] > 0:
        said.append(f"{row['not_there']:,} reported and not there")
    if row["blocked"] > 1:
        said.append(f"blocked {row['blocked']:.1f} s")
    return ", ".join(said) or "-"


def main():
    parser = argparse.ArgumentParser(prog="run bench peers --faults", description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, default=rig.ROOT / "build/release/bin")
    parser.add_argument("--peer-bin", type=pathlib.Path, default=rig.ROOT / "build/peers")
    parser.add_argument("--only", default="", help="only clients whose name holds this")
    parser.add_argument("--faults", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        documents = pathlib.Path(folder) / "documents.ndjson"
        text = "x" * (rig.BYTES - len('{"number":1000,"m":""}'))
        documents.write_text("".join(f'{{"number":{n},"m":"{text}"}}\n' for n in range(DOCUMENTS)), encoding="utf-8")
        clients = [name for name, (program, _) in CLIENTS.items() if options.only in name and rig.find(options, program)]
        rows = []
        clean = True
        print(f"{rig.machine()}; {DOCUMENTS:,} documents, requests of {BATCH_BYTES:,} bytes\n")
        for kind in FAULTS:
            told = []
            for name in clients:
                program, environment = CLIENTS[name]
                row = asyncio.run(run(options, program, environment, documents, kind))
                print(f"{kind.name}: {name}: {cell(row)} {row['said'][:200]!r}", file=sys.stderr, flush=True)
                told.append(cell(row))
                if name == "bulkhead, client_id":
                    clean = clean and row["missing"] == getattr(kind, "refused", 0) and row["twice"] == 0 \
                        and row["not_there"] == 0 and row["silent"] == 0
            rows.append([kind.name, *told])
    print(rig.table(["fault", *clients], rows))
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
