// SPDX-License-Identifier: BSL-1.0
#include "generator.hpp"

#include "json_text.hpp"
#include "timestamp.hpp"

#include <array>
#include <string_view>

namespace replay {

namespace {

using std::string_view;

/// SplitMix64: small, and the same on every machine.
class Random {
public:
    explicit Random(std::uint64_t seed) noexcept : state_{seed} {}
    std::uint64_t next() noexcept {
        auto z = (state_ += 0x9e37'79b9'7f4a'7c15U);
        z = (z ^ (z >> 30U)) * 0xbf58'476d'1ce4'e5b9U;
        z = (z ^ (z >> 27U)) * 0x94d0'49bb'1331'11ebU;
        return z ^ (z >> 31U);
    }
    std::uint64_t below(std::uint64_t limit) noexcept { return next() % limit; }
    template <std::size_t N>
    string_view pick(const std::array<string_view, N>& choices) noexcept {
        return choices[below(N)];
    }

private:
    std::uint64_t state_;
};

constexpr std::array<string_view, 8> services{"checkout", "payments", "catalog",   "search",
                                              "identity", "shipping", "inventory", "web-frontend"};
constexpr std::array<string_view, 4> environments{"production", "production", "staging", "canary"};
// One in sixteen is of level error or above.
constexpr std::array<string_view, 16> levels{"info", "info",  "info",  "debug", "info",  "info", "info", "warn",
                                             "info", "debug", "debug", "info",  "trace", "info", "warn", "error"};
constexpr std::array<string_view, 5> methods{"GET", "GET", "GET", "POST", "PUT"};
constexpr std::array<string_view, 6> paths{"/api/v1/orders/", "/api/v1/customers/", "/api/v1/products/",
                                           "/api/v2/carts/",  "/api/v1/shipments/", "/api/v1/sessions/"};
constexpr std::array<string_view, 8> messages{
    "request completed after validating the cart against the current price list",
    "cache miss, loading the customer profile from the primary store",
    "upstream answered slowly, the answer was taken from the stale cache",
    "retrying the payment capture: the acquirer closed the connection \"unexpectedly\"",
    "Bestellung angenommen: Lieferung nach Düsseldorf, Königsallee 3, übermorgen",
    "注文を受け付けました。配送先を確認しています",
    "заказ принят, ожидается подтверждение оплаты 💳",
    "worker finished\tbatch of jobs\nnext run in 30 s",
};
constexpr std::array<string_view, 4> regions{"eu-central-1", "eu-west-1", "us-east-1", "ap-northeast-1"};

void append_hex(std::string& out, std::uint64_t value, int digits) {
    constexpr string_view hex = "0123456789abcdef";
    for (int i = digits - 1; i >= 0; --i) out += hex[(value >> static_cast<unsigned>(4 * (i % 16))) & 0xFU];
}

void append_member(std::string& out, string_view name, string_view value) {
    out += ",\"";
    out += name;
    out += "\":";
    append_json_string(out, value);
}

/// The event's time in one of the ways that real producers write it.
void append_timestamp(std::string& out, std::int64_t ms, std::uint64_t way) {
    switch (way) {
    case 0: append_number(out, ms / 1000); return;
    case 1: append_number(out, ms * 1000 + 7); return;
    case 2: append_number(out, ms * 1'000'000 + 7); return;
    case 3:
        out += '"';
        append_iso8601(out, ms + 7'200'000); // local time, two hours ahead of UTC
        out.back() = '+';
        out += "02:00\"";
        return;
    case 4: out += "\"yesterday\""; return; // the record's own time is taken
    case 5:
    case 6:
        out += '"';
        append_iso8601(out, ms);
        out += '"';
        return;
    default: append_number(out, ms); return;
    }
}

constexpr std::int64_t start_ms = 1'714'521'600'000; // 2024-05-01T00:00:00Z

} // namespace

Kind EventGenerator::log(std::uint64_t position, std::string& key, std::string& event) const {
    Random random{seed_ * 0x2545'f491'4f6c'dd1dU + position * 0x9e37'79b9'7f4a'7c15U};
    const auto service = random.pick(services);
    const auto trace = random.next();
    key.clear();
    append_hex(key, trace, 16);
    event.clear();
    const auto fate = random.below(3000);
    if (fate < 3) return Kind::without_payload;

    const auto request = random.below(1'000'000);
    const auto duration_us = random.below(250'000);
    event += R"({"timestamp":)";
    append_timestamp(event, start_ms + static_cast<std::int64_t>(position) * 7, random.below(12));
    append_member(event, "service_name", service);
    append_member(event, "environment", random.pick(environments));
    event += R"(,"trace_id":")";
    append_hex(event, trace, 16);
    append_hex(event, random.next(), 16);
    event += R"(","span_id":")";
    append_hex(event, random.next(), 16);
    event += '"';
    const auto level = random.pick(levels);
    append_member(event, "level", level);
    append_member(event, "message", random.pick(messages));
    append_member(event, "http_method", random.pick(methods));
    event += R"(,"http_path":")";
    event += random.pick(paths);
    append_number(event, request);
    event += R"(","http_status_code":)";
    event += level == "error" ? "500" : level == "warn" ? "404" : "200";
    event += R"(,"labels":{"region":)";
    append_json_string(event, random.pick(regions));
    event += R"(,"host":"node-)";
    append_number(event, random.below(64));
    event += R"(","duration_us":)";
    append_number(event, duration_us);
    event += R"(,"sampled":)";
    event += random.below(2) == 0 ? "true" : "false";
    if (random.below(16) == 0) event += R"(,"k8s.pod":{"name":"pod-7","containers":["app","sidecar"]})";
    event += "}}";

    switch (fate) {
    case 3: event.resize(event.size() / 2); return Kind::invalid;           // cut off
    case 4: event = R"(["not","an","object"])"; return Kind::invalid;       //
    case 5: event = R"({"service_name":"checkout"})"; return Kind::invalid; // no message
    default: return Kind::valid;
    }
}

Kind EventGenerator::span(std::uint64_t position, std::string& key, std::string& event) const {
    Random random{~seed_ + position * 0x9e37'79b9'7f4a'7c15U};
    key.clear();
    append_hex(key, random.next(), 16);
    event = R"({"timestamp":)";
    append_number(event, start_ms + static_cast<std::int64_t>(position) * 70);
    append_member(event, "service_name", random.pick(services));
    append_member(event, "environment", random.pick(environments));
    append_member(event, "trace_id", key);
    event += R"(,"span_id":")";
    append_hex(event, random.next(), 16);
    event += '"';
    append_member(event, "name", random.pick(paths));
    event += R"(,"duration_us":)";
    append_number(event, random.below(250'000));
    event += '}';
    return Kind::valid;
}

} // namespace replay
