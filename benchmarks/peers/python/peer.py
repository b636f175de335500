# SPDX-License-Identifier: BSL-1.0
"""One of elasticsearch-py's bulk helpers. peer.py PEER PORT DOCS DOC_BYTES

No flush_after_seconds unless FLUSH_S says so: it hands every document to another thread through a queue, which
multiplies the cost, and documents that never pause do not need it.
"""
import asyncio
import itertools
import json
import os
import pathlib
import resource
import sys
import time

from elasticsearch import AsyncElasticsearch, Elasticsearch
from elasticsearch.helpers import async_streaming_bulk, parallel_bulk, streaming_bulk

CREATE = {"create": {}}
WORKERS = int(os.environ.get("WORKERS") or 0)
BULK = {
    "index": "logs",
    "chunk_size": sys.maxsize,
    "max_chunk_bytes": int(os.environ.get("BATCH_BYTES") or 5 << 20),
    "expand_action_callback": lambda document: (CREATE, document),
    "raise_on_error": False,
}
if os.environ.get("FLUSH_S"):
    BULK["flush_after_seconds"] = float(os.environ["FLUSH_S"])
CLIENT = {"http_compress": os.environ.get("GZIP") == "1", "request_timeout": 60}


def tally(results):
    """The number of documents indexed, and of those refused."""
    good = bad = 0
    for accepted, _ in results:
        if accepted:
            good += 1
        else:
            bad += 1
    return good, bad


def streaming(url, documents):
    with Elasticsearch(url, **CLIENT) as client:
        return tally(streaming_bulk(client, documents, **BULK))


def parallel(url, documents):
    # A connection a thread: by default the pool keeps ten.
    options = {"thread_count": WORKERS} if WORKERS else {}
    with Elasticsearch(url, connections_per_node=max(WORKERS, 10), **CLIENT) as client:
        return tally(parallel_bulk(client, documents, **options, **BULK))


def async_streaming(url, documents):
    async def send():
        async with AsyncElasticsearch(url, **CLIENT) as client:
            good = bad = 0
            async for accepted, _ in async_streaming_bulk(client, documents, **BULK):
                if accepted:
                    good += 1
                else:
                    bad += 1
            return good, bad
    return asyncio.run(send())


HELPERS = {"py-streaming_bulk": streaming, "py-parallel_bulk": parallel, "py-async_streaming_bulk": async_streaming}


def load_documents(document_bytes):
    if "DOCS_FILE" in os.environ:
        return pathlib.Path(os.environ["DOCS_FILE"]).read_bytes().splitlines()
    return [b'{"m":"%s"}' % (b"x" * (document_bytes - 8))]


class Watched:
    """The documents, and the longest time between two that the helper asked for."""

    def __init__(self, documents):
        self.documents, self.longest = documents, 0.0

    def __iter__(self):
        last = time.perf_counter()
        for document in self.documents:
            now = time.perf_counter()
            self.longest = max(self.longest, now - last)
            last = now
            yield document


def main():
    peer = sys.argv[1]
    port, count, document_bytes = map(int, sys.argv[2:])
    documents = itertools.islice(itertools.cycle(load_documents(document_bytes)), count)
    if os.environ.get("LAT") == "1":
        documents = Watched(documents)
    cpu, wall = time.process_time(), time.perf_counter()
    indexed, failed = HELPERS[peer](f"http://127.0.0.1:{port}", documents)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = {"peer": peer, "docs": count, "wall_s": wall, "cpu_s": cpu, "rss_kb": peak, "indexed": indexed,
              "failed": failed}
    if os.environ.get("LAT") == "1":
        report["add_us"] = {"max": documents.longest * 1e6}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
