#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""What KafkaSource adds to a bare librdkafka loop: both read the same topic of a real Kafka, in turns."""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "engines"))
import engines  # noqa: E402 (it knows how to start a Kafka)

PARTITIONS = 6


def main():
    parser = argparse.ArgumentParser(prog="run bench kafka", description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bulkhead-bench-") as folder:
        try:
            kafka = engines.Kafka(pathlib.Path(folder) / "kafka")
        except engines.Skipped as reason:
            print(f"skipped: {reason}")
            return 0
        with kafka:
            tool = [str(options.bin / "kafka_tool")]
            topic = "bulkhead.bench"
            subprocess.run([*tool, "create", kafka.brokers, topic, str(PARTITIONS)], check=True)
            subprocess.run([*tool, "produce", kafka.brokers, topic, str(PARTITIONS), str(options.records)], check=True)
            cpu = {"bare": [], "driver": []}
            for number in range(options.rounds):
                for how, seen in cpu.items():
                    done = subprocess.run([str(options.bin / "kafka_cost"), how, kafka.brokers, topic,
                                           f"{how}-{number}", str(options.records)], check=True, text=True,
                                          stdout=subprocess.PIPE, timeout=300)
                    seen.append(json.loads(done.stdout)["cpu_us"])
                    print(f"round {number + 1}: {how}: {seen[-1]:.3f} µs of CPU a record", file=sys.stderr, flush=True)
    added = [driver - bare for bare, driver in zip(cpu["bare"], cpu["driver"])]
    for name, values in (*cpu.items(), ("added", added)):
        print(f"{name:6}  {min(values):.3f} / {statistics.median(values):.3f} / {max(values):.3f} µs of CPU a record "
              "(min / median / max)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
