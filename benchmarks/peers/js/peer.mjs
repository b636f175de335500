// SPDX-License-Identifier: BSL-1.0
// `helpers.bulk` of one of two clients. node peer.mjs (js-elasticsearch|js-opensearch) PORT DOCS DOC_BYTES
import { readFileSync } from 'node:fs'

const CLIENTS = {
  'js-elasticsearch': { module: '@elastic/elasticsearch', compression: true },
  'js-opensearch': { module: '@opensearch-project/opensearch', compression: 'gzip' }
}

const [peer, ...numbers] = process.argv.slice(2)
const [port, count, documentBytes] = numbers.map(Number)
const { DOCS_FILE, BATCH_BYTES = '5242880', WORKERS, GZIP, LAT } = process.env
let longest = 0n // between two documents that the helper asks for, in nanoseconds

function loadDocuments () {
  if (!DOCS_FILE) return [JSON.stringify({ m: 'x'.repeat(documentBytes - 8) })]
  // Decoded as Latin-1 so that V8 keeps one byte a character.
  return readFileSync(DOCS_FILE, 'latin1').split('\n').filter(line => line !== '')
}

async function * take (documents) {
  let next = 0
  let last = process.hrtime.bigint()
  for (let left = count; left > 0; left--) {
    if (LAT === '1') {
      const now = process.hrtime.bigint()
      if (now - last > longest) longest = now - last
      last = now
    }
    yield documents[next]
    next = next + 1 === documents.length ? 0 : next + 1
  }
}

const documents = loadDocuments()
const { module, compression } = CLIENTS[peer]
const { Client } = await import(module)
const client = new Client({ node: `http://127.0.0.1:${port}`, ...(GZIP === '1' && { compression }) })

const cpuBefore = process.cpuUsage()
const began = process.hrtime.bigint()
const seen = await client.helpers.bulk({
  datasource: take(documents),
  onDocument: () => ({ create: { _index: 'logs' } }),
  flushBytes: Number(BATCH_BYTES),
  flushInterval: 1000,
  ...(WORKERS && { concurrency: Number(WORKERS) })
})
await client.close()
const wall = Number(process.hrtime.bigint() - began) / 1e9
const cpu = process.cpuUsage(cpuBefore)

console.log(JSON.stringify({
  peer,
  docs: count,
  wall_s: wall,
  cpu_s: (cpu.user + cpu.system) / 1e6,
  rss_kb: process.resourceUsage().maxRSS,
  indexed: seen.successful,
  failed: seen.failed,
  ...(LAT === '1' && { add_us: { max: Number(longest) / 1e3 } })
}))
