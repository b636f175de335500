// SPDX-License-Identifier: BSL-1.0
#include "summary.hpp"

#include "json_text.hpp"

#include <cmath>
#include <cstdio>

namespace replay {

namespace {

std::string fixed(double value, int decimals) {
    char text[64]; // NOLINT
    const int length = std::snprintf(text, sizeof text, "%.*f", decimals, value);
    return {text, static_cast<std::size_t>(length)};
}

class JsonLine {
public:
    void raw(std::string_view name, std::string_view value) {
        text_ += text_.size() == 1 ? "" : ",";
        append_json_string(text_, name);
        text_ += ':';
        text_ += value;
    }
    void number(std::string_view name, std::uint64_t value) { raw(name, std::to_string(value)); }
    std::string finish() { return text_ + '}'; }

private:
    std::string text_ = "{";
};

void row(std::string& out, std::string_view name, const std::string& value, std::string_view note = {}) {
    constexpr std::size_t name_width = 16;
    constexpr std::size_t value_width = 14;
    out += "  ";
    out += name;
    out.append(name.size() < name_width ? name_width - name.size() : 1, ' ');
    out.append(value.size() < value_width ? value_width - value.size() : 0, ' ');
    out += value;
    if (!note.empty()) {
        out += "  ";
        out += note;
    }
    out += '\n';
}

std::string microseconds(std::uint64_t nanoseconds) { return fixed(static_cast<double>(nanoseconds) / 1000, 2) + " µs"; }

} // namespace

void Summary::set_enqueue(const Latencies& latencies) noexcept {
    enqueue_p50 = latencies.quantile(0.5);
    enqueue_p99 = latencies.quantile(0.99);
    enqueue_p999 = latencies.quantile(0.999);
    enqueue_max = latencies.max();
}

std::string find_fault(const Summary& s, std::uint64_t count_before, bool exact) {
    std::string faults;
    const auto fault = [&](const std::string& text) {
        if (!faults.empty()) faults += "; ";
        faults += text;
    };
    const auto accounted = s.indexed + s.skipped + s.invalid + s.rejected + s.dead_lettered + s.duplicates + s.refused +
                           s.pending;
    if (s.consumed != accounted)
        fault("consumed " + grouped(s.consumed) + " records, but accounted for " + grouped(accounted));
    if (s.rejected > 0) fault(grouped(s.rejected) + " documents were rejected");
    if (s.refused > 0) fault(grouped(s.refused) + " records were refused");
    if (s.pending > 0) fault(grouped(s.pending) + " records are pending, and will be read again");
    if (!s.server_count) {
        if (exact) fault("the server could not be asked for its count");
    } else if (*s.server_count < count_before + s.indexed || (exact && *s.server_count != count_before + s.indexed)) {
        fault("the server counts " + grouped(*s.server_count) + " documents, expected " +
              grouped(count_before + s.indexed));
    }
    return faults;
}

std::string to_json(const Summary& s) {
    JsonLine line;
    line.number("consumed", s.consumed);
    line.number("indexed", s.indexed);
    line.number("skipped", s.skipped);
    line.number("invalid", s.invalid);
    line.number("rejected", s.rejected);
    line.number("dead_lettered", s.dead_lettered);
    line.number("duplicates", s.duplicates);
    line.number("refused", s.refused);
    line.number("pending", s.pending);
    line.raw("lag", std::to_string(s.lag));
    line.raw("server_count", s.server_count ? std::to_string(*s.server_count) : "null");
    line.raw("seconds", fixed(s.seconds, 3));
    line.raw("docs_per_second", fixed(s.docs_per_second(), 1));
    line.number("peak_buffered_bytes", s.peak_buffered_bytes);
    JsonLine enqueue;
    enqueue.number("p50", s.enqueue_p50);
    enqueue.number("p99", s.enqueue_p99);
    enqueue.number("p999", s.enqueue_p999);
    enqueue.number("max", s.enqueue_max);
    line.raw("enqueue_ns", enqueue.finish());
    line.raw("delivery", '"' + std::string{s.delivery} + '"');
    return line.finish();
}

std::string to_text(const Summary& s) {
    std::string out;
    row(out, "consumed", grouped(s.consumed), "records from Kafka");
    row(out, "indexed", grouped(s.indexed), "proven by the server, document by document");
    row(out, "skipped", grouped(s.skipped), "no payload");
    row(out, "invalid", grouped(s.invalid), "not an event");
    row(out, "rejected", grouped(s.rejected));
    row(out, "dead lettered", grouped(s.dead_lettered));
    row(out, "duplicates", grouped(s.duplicates), "already there");
    row(out, "refused", grouped(s.refused));
    row(out, "pending", grouped(s.pending), "will be read again");
    row(out, "lag", s.lag < 0 ? "unknown" : grouped(static_cast<std::uint64_t>(s.lag)), "records left in Kafka");
    row(out, "server count", s.server_count ? grouped(*s.server_count) : "unknown", "read back from the server");
    row(out, "seconds", fixed(s.seconds, 2));
    row(out, "docs/s", grouped(static_cast<std::uint64_t>(s.docs_per_second())));
    row(out, "peak buffered", fixed(static_cast<double>(s.peak_buffered_bytes) / (1 << 20), 1) + " MiB");
    row(out, "enqueue p50", microseconds(s.enqueue_p50));
    row(out, "enqueue p99", microseconds(s.enqueue_p99));
    row(out, "enqueue p99.9", microseconds(s.enqueue_p999));
    row(out, "enqueue max", microseconds(s.enqueue_max));
    row(out, "delivery", std::string{s.delivery});
    const auto a_minute = s.docs_per_second() * 60;
    out += "That is " + grouped(static_cast<std::uint64_t>(a_minute)) +
           " documents a minute. The source system: 60 a minute and partition when each\n"
           "message awaited its flush (" +
           grouped(static_cast<std::uint64_t>(std::llround(a_minute / 60))) +
           " times as many), 7,000 with one request a document (" +
           grouped(static_cast<std::uint64_t>(std::llround(a_minute / 7000))) + " times as many).\n";
    return out;
}

std::string grouped(std::uint64_t number) {
    auto digits = std::to_string(number);
    for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
        digits.insert(static_cast<std::size_t>(at), 1, ',');
    return digits;
}

} // namespace replay
