// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <string_view>

namespace replay {

/// The page at `/`: reads `/metrics` once a second and draws the last five minutes. It needs nothing else.
inline constexpr std::string_view monitor_page = R"html(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>kafka_replay</title>
<style>
  :root { color-scheme: light dark; --ink: #1c2330; --dim: #667085; --line: #d9dee7; --card: #fff; --back: #f4f6f9;
          --one: #2563eb; --two: #d97706; --three: #0d9488; --bad: #c62828; --good: #15803d; }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e6eaf2; --dim: #97a2b6; --line: #2d3646; --card: #171d28; --back: #0e131b;
            --one: #6ea8fe; --two: #f5b14c; --three: #4fd1c5; --bad: #ff7b72; --good: #57d287; } }
  body { margin: 0; padding: 1.2rem; background: var(--back); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
  h1 { font-size: 1.1rem; margin: 0 1rem 0 0; display: inline-block; }
  #state { padding: .15rem .6rem; border-radius: 1rem; color: var(--card); background: var(--dim); }
  #state.good { background: var(--good); } #state.bad { background: var(--bad); }
  #words { color: var(--dim); margin-left: .6rem; }
  dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .6rem; margin: 1rem 0; }
  dl div, figure { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
  dl div { padding: .5rem .8rem; } dt { color: var(--dim); font-size: .8rem; }
  dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
  main { display: grid; grid-template-columns: repeat(auto-fit, minmax(25rem, 1fr)); gap: .8rem; }
  figure { margin: 0; padding: .7rem .8rem; }
  figcaption { display: flex; flex-wrap: wrap; gap: 0 1rem; font-size: .85rem; }
  figcaption b { margin-right: auto; } figcaption i { font-style: normal; font-variant-numeric: tabular-nums; }
  svg { width: 100%; height: 9rem; display: block; margin-top: .3rem; }
  polyline { fill: none; stroke-width: 1.6; vector-effect: non-scaling-stroke; }
  line { stroke: var(--line); vector-effect: non-scaling-stroke; }
  .top { color: var(--dim); font-size: .75rem; }
</style>
</head>
<body>
<header><h1>kafka_replay</h1><span id="state">…</span><span id="words"></span></header>
<dl id="numbers"></dl>
<main id="charts"></main>
<noscript>The figures are at <a href="/metrics">/metrics</a>.</noscript>
<script>
"use strict";
const kept = 300;                      // seconds
const window_ = 10;                    // over which latencies are taken
const colours = ["--one", "--two", "--three"];
const history_ = [];                   // one scrape each

function parse(text) {
  const values = new Map();
  for (const line of text.split("\n")) {
    const space = line.lastIndexOf(" ");
    if (space > 0 && line[0] !== "#") values.set(line.slice(0, space), Number(line.slice(space + 1)));
  }
  return values;
}
const of = (s, name) => s.values.get("bulkhead_" + name) ?? 0;
const settled = (s, outcome) => of(s, `operations_settled_total{outcome="${outcome}"}`);
// Records that came to nothing, though not because there was nothing in them.
const passedOver = (s) => of(s, 'kafka_records_passed_over_total{reason="invalid"}') +
  of(s, 'kafka_records_passed_over_total{reason="too_large"}');
const sum = (s, prefix) => {
  let total = 0;
  for (const [name, value] of s.values) if (name.startsWith("bulkhead_" + prefix)) total += value;
  return total;
};
// A counter's growth a second between a scrape and the one before it.
const rate = (f) => (s, i) =>
  i === 0 ? null : Math.max(0, f(s) - f(history_[i - 1])) / ((s.time - history_[i - 1].time) / 1000);
// What the share q of what was recorded within the window did not exceed: a bucket's upper bound.
const quantile = (name, q) => (s, i) => {
  const before = history_[Math.max(0, i - window_)];
  const prefix = `bulkhead_${name}_bucket{le="`;
  const buckets = [];
  for (const [key, value] of s.values)
    if (key.startsWith(prefix)) {
      const bound = key.slice(prefix.length, -2);
      buckets.push([bound === "+Inf" ? Infinity : Number(bound), value - (before.values.get(key) ?? 0)]);
    }
  buckets.sort((a, b) => a[0] - b[0]);
  const total = buckets.length ? buckets[buckets.length - 1][1] : 0;
  if (i === 0 || total <= 0) return null;
  const found = buckets.find(([, count]) => count >= q * total);
  return found[0] === Infinity ? null : found[0];
};

const number = (v) => v === null ? "–" : v >= 1e6 ? (v / 1e6).toFixed(2) + " M"
  : v >= 1e4 ? (v / 1e3).toFixed(1) + " k" : v >= 100 || Number.isInteger(v) ? v.toFixed(0) : v.toFixed(1);
const bytes = (v) => v === null ? "–" : (v / 1048576).toFixed(1) + " MiB";
const seconds = (v) => v === null ? "–" : v >= 1 ? v.toFixed(1) + " s" : v >= 1e-3 ? (v * 1e3).toFixed(1) + " ms"
  : (v * 1e6).toFixed(0) + " µs";

const charts = [
  ["Throughput", number, [["indexed/s", rate((s) => settled(s, "indexed") + settled(s, "superseded"))],
                          ["consumed/s", rate((s) => of(s, "kafka_records_consumed_total"))]]],
  ["Lag", number, [["records not taken", (s) => of(s, "kafka_lag")],
                   ["pending", (s) => of(s, "operations_pending")]]],
  ["Buffer", bytes, [["used", (s) => of(s, "buffer_usage_bytes")], ["limit", (s) => of(s, "buffer_limit_bytes")]]],
  ["Latency", seconds, [["enqueue → settled p50", quantile("settle_duration_seconds", .5)],
                        ["p99", quantile("settle_duration_seconds", .99)],
                        ["request p99", quantile("request_duration_seconds", .99)]]],
  ["Failures", number, [["requests/s", rate((s) => sum(s, "requests_failures_total"))],
                        ["operations/s", rate((s) => sum(s, "operations_failures_total"))],
                        ["not indexed/s", rate((s) => ["rejected", "dead_lettered", "dropped", "undelivered", "unknown"]
                          .reduce((total, outcome) => total + settled(s, outcome), passedOver(s)))]]],
  ["Requests", number, [["in flight", (s) => of(s, "requests_in_flight")],
                        ["limit", (s) => of(s, "requests_in_flight_limit")],
                        ["batches waiting", (s) => of(s, "batches_waiting")]]],
];
const numbers = [
  ["consumed", (s) => number(of(s, "kafka_records_consumed_total"))],
  ["indexed", (s) => number(settled(s, "indexed") + settled(s, "superseded"))],
  ["pending", (s) => number(of(s, "operations_pending"))],
  ["oldest pending", (s) => seconds(of(s, "oldest_pending_seconds"))],
  ["lag", (s) => number(of(s, "kafka_lag"))],
  ["dead letters", (s) => number(settled(s, "dead_lettered") + of(s, "kafka_dead_letters_written_total"))],
  ["invalid records", (s) => number(of(s, 'kafka_records_passed_over_total{reason="invalid"}'))],
  ["skipped records", (s) => number(of(s, 'kafka_records_passed_over_total{reason="skipped"}'))],
  ["rejected", (s) => number(settled(s, "rejected"))],
  ["partitions (paused)", (s) => of(s, 'kafka_partitions{state="assigned"}') + " (" +
                        of(s, 'kafka_partitions{state="paused"}') + ")"],
];

const element = (name, parent, text) => {
  const e = parent.appendChild(document.createElement(name));
  if (text !== undefined) e.textContent = text;
  return e;
};
const drawn = (tag, attributes, parent) => {
  const e = parent.appendChild(document.createElementNS("http://www.w3.org/2000/svg", tag));
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  return e;
};
for (const chart of charts) {
  const figure = element("figure", document.getElementById("charts"));
  const caption = element("figcaption", figure);
  element("b", caption, chart[0]);
  chart.words = chart[2].map((series, i) => {
    const e = element("i", caption);
    e.style.color = `var(${colours[i]})`;
    return e;
  });
  chart.svg = drawn("svg", {viewBox: `0 0 ${kept} 100`, preserveAspectRatio: "none", role: "img",
                            "aria-label": chart[0] + " over the last five minutes"}, figure);
  chart.top = element("div", figure);
  chart.top.className = "top";
}
for (const entry of numbers) {
  const box = element("div", document.getElementById("numbers"));
  element("dt", box, entry[0]);
  entry.box = element("dd", box, "–");
}

function draw() {
  const now = history_[history_.length - 1];
  for (const entry of numbers) entry.box.textContent = entry[1](now);
  for (const chart of charts) {
    const [, unit, series] = chart;
    const lines = series.map(([, value]) => history_.map((s, i) => [kept - (now.time - s.time) / 1000, value(s, i)]));
    const top = Math.max(...lines.flat().map(([, v]) => v ?? 0)) || 1;
    chart.svg.replaceChildren();
    for (const y of [2, 51, 99]) drawn("line", {x1: 0, x2: kept, y1: y, y2: y}, chart.svg);
    lines.forEach((line, i) => {
      const points = line.filter(([x, v]) => x >= 0 && v !== null).map(([x, v]) => `${x.toFixed(1)},${(99 - 97 * v / top).toFixed(1)}`);
      drawn("polyline", {points: points.join(" "), style: `stroke: var(${colours[i]})`}, chart.svg);
      const last = line[line.length - 1][1];
      chart.words[i].textContent = `${series[i][0]} ${unit(last)}`;
    });
    chart.top.textContent = `five minutes; top ${unit(top)}`;
  }
}
async function look() {
  const state = document.getElementById("state");
  const words = document.getElementById("words");
  try {
    const [metrics, ready] = await Promise.all([fetch("/metrics"), fetch("/readyz")]);
    history_.push({time: Date.now(), values: parse(await metrics.text())});
    if (history_.length > kept) history_.shift();
    state.className = ready.ok ? "good" : "bad";
    state.textContent = ready.ok ? "ok" : "not ready";
    words.textContent = ready.ok ? "" : (await ready.text()).trim();
    draw();
  } catch (error) {
    state.className = "bad";
    state.textContent = "gone";
    words.textContent = "the replay has ended, or cannot be reached";
  }
  setTimeout(look, 1000);
}
look();
</script>
</body>
</html>
)html";

} // namespace replay
