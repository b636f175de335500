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


def throttled(read, seconds, records, received, latencies):
    """Bytes from the brokers when what takes the records is half as fast as the consumer, by the latency of a bulk."""
    speed = records / seconds / 2
    print(f"full speed: {records / seconds:,.0f} records/s, {received / records:.0f} bytes from the brokers a record")
    for latency in latencies:
        done = read("driver", f"throttled-{latency}", str(latency), str(speed))
        print(f"half speed, bulks of {latency / 1000:g} s: {records / done['seconds']:,.0f} records/s, "
              f"{done['bytes_received'] / received:.3f} times the bytes of a run that never waits")


def main():
    parser = argparse.ArgumentParser(prog="run bench kafka", description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--latency", type=int, action="append", metavar="MS",
                        help="of a bulk, for the bytes fetched at half speed; default: 100 and 2000")
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

            def read(how, group, *speed):
                done = subprocess.run([str(options.bin / "kafka_cost"), how, kafka.brokers, topic, group,
                                       str(options.records), *speed], check=True, text=True, stdout=subprocess.PIPE,
                                      timeout=300)
                return json.loads(done.stdout)

            for number in range(options.rounds):
                for how, seen in cpu.items():
                    done = read(how, f"{how}-{number}")
                    seen.append(done["cpu_us"])
                    print(f"round {number + 1}: {how}: {seen[-1]:.3f} µs of CPU a record", file=sys.stderr, flush=True)
            throttled(read, done["seconds"], options.records, done["bytes_received"], options.latency or [100, 2000])
    added = [driver - bare for bare, driver in zip(cpu["bare"], cpu["driver"])]
    for name, values in (*cpu.items(), ("added", added)):
        print(f"{name:6}  {min(values):.3f} / {statistics.median(values):.3f} / {max(values):.3f} µs of CPU a record "
              "(min / median / max)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
