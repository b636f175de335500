// SPDX-License-Identifier: BSL-1.0
//
// Indexes the log events of a Kafka topic into a data stream, in the three ways of the service that bulkhead replaces:
// kafkajs, one handler call at a time (its default, over all partitions together).
//
//     node consumer.mjs MODE --brokers H:P --url http://H:P --topic T --group G --stream S
//                       [--records N] [--seconds X] [--crash-after N]
//
// MODE is    one-by-one    await client.index() for each event
//            awaited       bulks, and the handler waits for the bulk that its event is in: each holds one
//            background    bulks, and the handler does not wait: a failed one is logged, a killed process forgets its
//                          queue, though Kafka has the offsets
//
// It ends when N records are handled and answered, or X seconds after the first, and then prints a line of JSON.
// With --crash-after it kills itself with SIGKILL in the handler of the Nth record.

import { parseArgs } from "node:util";
import { Client } from "@opensearch-project/opensearch";
import kafkajs from "kafkajs";
import lz4 from "lz4js";
import { Bulks } from "./bulks.mjs";

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs;
const modes = ["one-by-one", "awaited", "background"];
const patienceMs = 60_000; // for the first record

const text = { type: "string" };
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { brokers: text, url: text, topic: text, group: text, stream: text, records: text, seconds: text,
             "crash-after": text },
});
const [mode] = positionals;
const required = ["brokers", "url", "topic", "group", "stream"];
if (positionals.length !== 1 || !modes.includes(mode) || required.some((name) => !options[name])) {
  console.error(`usage: node consumer.mjs ${modes.join("|")} --brokers H:P --url http://H:P --topic T --group G ` +
                "--stream S [--records N] [--seconds X] [--crash-after N]");
  process.exit(2);
}
const records = Number(options.records ?? Infinity);
const seconds = Number(options.seconds ?? Infinity);
const crashAfter = Number(options["crash-after"] ?? Infinity);

// kafkajs brings no LZ4, which kafka_tool's topics are in.
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => Buffer.from(lz4.compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
});

const client = new Client({ node: options.url });
const index = options.stream;
const bulks = new Bulks(async (documents) => {
  const { body } = await client.bulk({ index, body: documents.flatMap((document) => [{ create: {} }, document]) });
  return body.errors ? body.items.filter((item) => item.create.error).length : 0;
});

let indexedAlone = 0; // when the last client.index() was answered
const handlers = {
  "one-by-one": async (document) => {
    await client.index({ index, op_type: "create", body: document });
    indexedAlone = performance.now();
  },
  awaited: (document) =>
    new Promise((resolve, reject) => bulks.enqueue(document, (error) => (error ? reject(error) : resolve()))),
  background: async (document) => bulks.enqueue(document),
};

function toDocument(message) {
  const event = JSON.parse(message.value);
  return { "@timestamp": new Date(event.timestamp ?? Number(message.timestamp)).toISOString(), ...event };
}

const kafka = new Kafka({ clientId: "source-system", brokers: options.brokers.split(","), logLevel: logLevel.NOTHING });
const consumer = kafka.consumer({ groupId: options.group });
let began;
let handled = 0;
let end;
const ended = new Promise((resolve, reject) => (end = { resolve, reject }));
consumer.on(consumer.events.CRASH, ({ payload }) => payload.restart || end.reject(payload.error));

// What is committed is what the handler returned from. With kafkajs's defaults, as here and in the source system, the
// offset is committed after each batch that a fetch brought; autoCommitInterval and autoCommitThreshold stay unset.
async function eachMessage({ message }) {
  if (began === undefined) {
    began = performance.now();
    if (seconds < Infinity) setTimeout(end.resolve, seconds * 1000).unref();
  }
  await handlers[mode](toDocument(message));
  ++handled;
  if (handled === crashAfter) process.kill(process.pid, "SIGKILL");
  if (handled === records) {
    consumer.stop(); // no handler call after this one; awaited below
    end.resolve();
  }
}

try {
  await consumer.connect();
  await consumer.subscribe({ topics: [options.topic], fromBeginning: true });
  await consumer.run({ eachMessage });
  setTimeout(() => began ?? end.reject(new Error("no record came")), patienceMs).unref();
  await ended;
  await consumer.stop(); // when the handler that is under way has returned
  await bulks.drain();
  await consumer.disconnect();
  if (handled === 0) throw new Error("no record could be handled");
} catch (error) {
  console.error(`consumer: ${error.message}`);
  process.exit(1);
}

const elapsed = (Math.max(bulks.lastAnswer, indexedAlone) - began) / 1000;
const cpu = process.cpuUsage();
console.log(JSON.stringify({
  mode,
  handled,
  seconds: Number(elapsed.toFixed(3)),
  documents_per_minute: Math.round(((handled - bulks.failedDocuments) / elapsed) * 60),
  bulks: bulks.sent,
  peak_queue: bulks.peakQueue,
  cpu_seconds: Number(((cpu.user + cpu.system) / 1e6).toFixed(2)),
  rss_mib: Math.round(process.resourceUsage().maxRSS / 1024), // the peak
  failed: bulks.failedDocuments,
}));
process.exit(0);
