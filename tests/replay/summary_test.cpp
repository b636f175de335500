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
    s.server_count = 90;
    s.seconds = 2;
    s.delivery = "at_least_once";
    return s;
}
} // namespace

TEST_CASE("counts that add up have no fault") {
    CHECK(find_fault(good(), 0, true).empty());
    auto more = good();
    more.server_count = 1090;
    CHECK(find_fault(more, 1000, true).empty());
    CHECK_FALSE(find_fault(more, 0, true).empty());
    CHECK(find_fault(more, 0, false).empty()); // others write there too
    CHECK_FALSE(find_fault(good(), 1, false).empty());
}

TEST_CASE("every kind of loss is a fault") {
    const auto fault = [](auto change) {
        auto s = good();
        change(s);
        return find_fault(s, 0, true);
    };
    CHECK(fault([](Summary& s) { s.consumed = 101; }).find("accounted for 100") != std::string::npos);
    CHECK(fault([](Summary& s) { s.indexed = 89, s.server_count = 89; }) != "");
    CHECK(fault([](Summary& s) { s.indexed = 89, s.server_count = 89, s.rejected = 1; }).find("1 documents were rejected") == 0);
    CHECK(fault([](Summary& s) { s.indexed = 89, s.server_count = 89, s.pending = 1; }).find("pending") !=
          std::string::npos);
    CHECK(fault([](Summary& s) { s.indexed = 89, s.server_count = 89, s.refused = 1; }).find("refused") !=
          std::string::npos);
    CHECK(fault([](Summary& s) { s.server_count = 89; }) == "the server counts 89 documents, expected 90");
    CHECK(fault([](Summary& s) { s.server_count.reset(); }) != "");
}

TEST_CASE("the JSON summary is one line with the documented members") {
    auto s = good();
    Latencies latencies;
    for (std::uint64_t i = 1; i <= 1000; ++i) latencies.record(i);
    s.set_enqueue(latencies);
    const auto line = to_json(s);
    CHECK(line.find('\n') == std::string::npos);
    const auto value = json::parse(line).as_object();
    const std::vector<std::string> names{"consumed",     "indexed",       "skipped",         "invalid",
                                         "rejected",     "dead_lettered", "duplicates",      "refused",
                                         "pending",      "lag",           "server_count",    "seconds",
                                         "docs_per_second", "peak_buffered_bytes", "enqueue_ns", "delivery"};
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

TEST_CASE("the summary for people ends with the comparison") {
    const auto text = to_text(good());
    CHECK(text.find("2,790 documents a minute") != std::string::npos);
    CHECK(text.find("60 a minute") != std::string::npos);
    CHECK(text.find("7,000") != std::string::npos);
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
