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

std::string microseconds(std::uint64_t nanoseconds) {
    return fixed(static_cast<double>(nanoseconds) / 1000, 2) + " µs";
}

} // namespace

void Summary::set_enqueue(const Latencies& latencies) noexcept {
    enqueue_p50 = latencies.quantile(0.5);
    enqueue_p99 = latencies.quantile(0.99);
    enqueue_p999 = latencies.quantile(0.999);
    enqueue_max = latencies.max();
}

std::string find_fault(const Summary& s, const Expected& expected) {
    std::string faults;
    const auto fault = [&](const std::string& text) {
        if (!faults.empty()) faults += "; ";
        faults += text;
    };
    const auto must_be = [&](const char* what, std::uint64_t found, std::uint64_t wanted) {
        if (found != wanted) fault(std::string{what} + " " + grouped(found) + ", expected " + grouped(wanted));
    };
    must_be("accounted for",
            s.indexed + s.skipped + s.invalid + s.rejected + s.dead_lettered + s.duplicates + s.refused + s.pending +
                s.given_back,
            s.consumed);
    if (s.refused > 0) fault(grouped(s.refused) + " records were refused");
    if (s.pending > 0) fault(grouped(s.pending) + " records are pending: not proven, and not committed as done");
    if (expected.whole_topic && s.lag > 0)
        fault(grouped(static_cast<std::uint64_t>(s.lag)) + " records are left in Kafka");

    const auto least = expected.count_before + s.indexed;
    if (!s.server_count) {
        if (expected.server_is_ours) fault("the server could not be asked for its count");
    } else if (*s.server_count < least) {
        fault("the server counts " + grouped(*s.server_count) + " documents, expected at least " + grouped(least));
    } else if (expected.server_is_ours && *s.server_count > least + s.duplicates + s.pending) {
        fault("the server counts " + grouped(*s.server_count) + " documents, expected at most " +
              grouped(least + s.duplicates + s.pending));
    }

    if (const auto& produced = expected.produced) {
        must_be("consumed", s.consumed, produced->records);
        if (produced->invalid) must_be("invalid", s.invalid, *produced->invalid);
        must_be("skipped", s.skipped, produced->without_payload);
        if (expected.server_is_ours && s.server_count)
            must_be("server count", *s.server_count,
                    produced->records - produced->without_payload - s.invalid - s.rejected - s.pending);
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
    line.number("given_back", s.given_back);
    line.raw("lag", std::to_string(s.lag));
    line.raw("server_count", s.server_count ? std::to_string(*s.server_count) : "null");
    line.raw("seconds", fixed(s.seconds, 3));
    line.raw("docs_per_second", fixed(s.docs_per_second(), 1));
    line.number("requests", s.requests);
    line.number("failed_requests", s.failed_requests);
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
    row(out, "invalid", grouped(s.invalid),
        s.invalid_kept ? "not an event; kept as dead letters" : "not an event; passed over");
    row(out, "rejected", grouped(s.rejected));
    row(out, "dead lettered", grouped(s.dead_lettered));
    row(out, "duplicates", grouped(s.duplicates), "already there");
    row(out, "refused", grouped(s.refused));
    row(out, "pending", grouped(s.pending), "will be read again");
    if (s.given_back > 0) row(out, "given back", grouped(s.given_back), "another member of the group reads them");
    row(out, "lag", s.lag < 0 ? "unknown" : grouped(static_cast<std::uint64_t>(s.lag)), "records left in Kafka");
    row(out, "server count", s.server_count ? grouped(*s.server_count) : "unknown", "read back from the server");
    row(out, "seconds", fixed(s.seconds, 2));
    row(out, "docs/s", grouped(static_cast<std::uint64_t>(s.docs_per_second())));
    row(out, "requests", grouped(s.requests), grouped(s.failed_requests) + " of them failed as a whole");
    row(out, "peak buffered", fixed(static_cast<double>(s.peak_buffered_bytes) / (1 << 20), 1) + " MiB");
    row(out, "enqueue p50", microseconds(s.enqueue_p50));
    row(out, "enqueue p99", microseconds(s.enqueue_p99));
    row(out, "enqueue p99.9", microseconds(s.enqueue_p999));
    row(out, "enqueue max", microseconds(s.enqueue_max));
    row(out, "delivery", std::string{s.delivery});
    return out;
}

std::string compare_with_source_system(const Summary& s) {
    const auto a_minute = s.docs_per_second() * 60;
    const auto times = [&](double other) {
        return grouped(static_cast<std::uint64_t>(std::llround(a_minute / other)));
    };
    return grouped(static_cast<std::uint64_t>(a_minute)) +
           " documents a minute; the source system did 60 a partition " + "when each message awaited its flush (" +
           times(60) + " times), 7,000 with a request a document (" + times(7000) + " times)";
}

std::string grouped(std::uint64_t number) {
    auto digits = std::to_string(number);
    for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
        digits.insert(static_cast<std::size_t>(at), 1, ',');
    return digits;
}

} // namespace replay
