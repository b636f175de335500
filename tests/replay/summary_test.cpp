// SPDX-License-Identifier: BSL-1.0
#include "kafka_replay/latency.hpp"
#include "kafka_replay/summary.hpp"

#include "support/catch.hpp"

#include <boost/json/parse.hpp>

#include <string>
#include <vector>

using namespace replay;
namespace json = boost::json;

namespace {
Summary good() {
    Summary s;
    s.consumed = 100;
    s.indexed = 90;
    s.skipped = 4;
    s.invalid = 3;
    s.duplicates = 3;
    s.server_count = 93; // the duplicates were stored by a request whose answer was lost
    s.seconds = 2;
    s.delivery = "at_least_once";
    return s;
}

/// Both halves embedded, and 93 different documents among the 100 records.
Expected ours() {
    Expected expected;
    expected.server_is_ours = true;
    expected.whole_topic = true;
    expected.produced = Produced{100, 4, 3, 0, 1};
    return expected;
}
} // namespace

TEST_CASE("counts that add up have no fault") {
    CHECK(find_fault(good(), ours()).empty());
    auto others = good(); // others write to a real server too
    others.server_count = 1090;
    CHECK(find_fault(others, {.count_before = 1000}).empty());
    CHECK(find_fault(others, {.count_before = 0}).empty());
    CHECK(find_fault(others, {.count_before = 1001}) == "the server counts 1,090 documents, expected at least 1,091");
    CHECK(find_fault(others, {.server_is_ours = true}) == "the server counts 1,090 documents, expected at most 93");
    auto unknown = good();
    unknown.server_count.reset();
    CHECK(find_fault(unknown, {}).empty());
    auto group = good(); // another member reads it
    group.indexed = 89;
    group.given_back = 1;
    CHECK(find_fault(group, {}).empty());
    auto chosen = good(); // --on-rejected skip
    chosen.indexed = 89;
    chosen.rejected = 1;
    chosen.server_count = 92;
    CHECK(find_fault(chosen, ours()).empty());
}

TEST_CASE("every kind of loss is a fault") {
    const auto fault = [](auto change) {
        auto s = good();
        change(s);
        return find_fault(s, ours());
    };
    CHECK(fault([](Summary& s) { s.consumed = 101; }).find("accounted for 100, expected 101") == 0);
    CHECK(fault([](Summary& s) { s.indexed = 89; }).find("accounted for 99, expected 100") == 0);
    CHECK(fault([](Summary& s) { s.indexed = 89, s.pending = 1, s.server_count = 92; }).find("1 records are pending") ==
          0);
    CHECK(fault([](Summary& s) { s.indexed = 89, s.refused = 1; }).find("1 records were refused") != std::string::npos);
    CHECK(fault([](Summary& s) { s.server_count = 89; }).find("the server counts 89 documents, expected at least 90") ==
          0);
    CHECK(fault([](Summary& s) { s.server_count = 92; }) == "server count 92, expected 93");
    CHECK(fault([](Summary& s) { s.server_count = 94; }).find("expected at most 93") != std::string::npos);
    CHECK(fault([](Summary& s) { s.server_count.reset(); }) == "the server could not be asked for its count");
    CHECK(fault([](Summary& s) { s.lag = 5; }) == "5 records are left in Kafka");
    CHECK(fault([](Summary& s) { s.consumed = 99, s.indexed = 89, s.server_count = 92; }) ==
          "consumed 99, expected 100; server count 92, expected 93");
    CHECK(fault([](Summary& s) { s.invalid = 2, s.skipped = 5; }).find("invalid 2, expected 3") == 0);
}

TEST_CASE("the JSON summary is one line with the documented members") {
    auto s = good();
    Latencies latencies;
    for (std::uint64_t i = 1; i <= 1000; ++i) latencies.record(i);
    s.set_enqueue(latencies);
    const auto line = to_json(s);
    CHECK(line.find('\n') == std::string::npos);
    const auto value = json::parse(line).as_object();
    const std::vector<std::string> names{"consumed",
                                         "indexed",
                                         "skipped",
                                         "invalid",
                                         "rejected",
                                         "dead_lettered",
                                         "duplicates",
                                         "refused",
                                         "pending",
                                         "given_back",
                                         "lag",
                                         "server_count",
                                         "seconds",
                                         "docs_per_second",
                                         "requests",
                                         "failed_requests",
                                         "peak_buffered_bytes",
                                         "enqueue_ns",
                                         "delivery"};
    CHECK(value.size() == names.size());
    for (const auto& name : names) {
        CAPTURE(name);
        CHECK(value.contains(name));
    }
    CHECK(value.at("consumed").as_int64() == 100);
    CHECK(value.at("docs_per_second").as_double() == 46.5);
    CHECK(value.at("enqueue_ns").at("max").as_int64() == 1000);
    CHECK(value.at("enqueue_ns").at("p50").as_int64() >= 500);
    CHECK(value.at("enqueue_ns").at("p50").as_int64() < 520);
    CHECK(value.at("delivery").as_string() == "at_least_once");
    s.server_count.reset();
    CHECK(json::parse(to_json(s)).at("server_count").is_null());
}

TEST_CASE("people get a table and a comparison") {
    const auto line = compare_with_source_system(good());
    CHECK(line.find('\n') == std::string::npos);
    CHECK(line.find("2,790 documents a minute") == 0);
    CHECK(line.find("60 a partition") != std::string::npos);
    CHECK(line.find("7,000") != std::string::npos);
    CHECK(to_text(good()).find("consumed                   100") != std::string::npos);
    CHECK(grouped(0) == "0");
    CHECK(grouped(999) == "999");
    CHECK(grouped(1000) == "1,000");
    CHECK(grouped(1234567) == "1,234,567");
}

TEST_CASE("a histogram's quantiles are right to about 3 percent") {
    Latencies latencies;
    CHECK(latencies.quantile(0.5) == 0);
    std::uint64_t value = 1;
    std::vector<std::uint64_t> all;
    for (int i = 0; i < 40; ++i, value = value * 3 / 2 + 1) {
        latencies.record(value);
        all.push_back(value);
    }
    for (std::size_t i = 0; i < all.size(); ++i) {
        const auto found = latencies.quantile(static_cast<double>(i + 1) / static_cast<double>(all.size()));
        CAPTURE(i, all[i], found);
        CHECK(found >= all[i]);
        CHECK(static_cast<double>(found) <= static_cast<double>(all[i]) * 1.04);
    }
    latencies.record(~std::uint64_t{0});
    CHECK(latencies.max() == ~std::uint64_t{0});
    CHECK(latencies.quantile(1) == ~std::uint64_t{0});
}
