// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/prometheus.hpp>

#include <algorithm>
#include <cmath>
#include <set>

#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

using bulkhead::PrometheusCollector;
using bulkhead::Stats;
using namespace std::chrono_literals;

// What a scrape says, by prometheus-cpp's own text.

namespace {

std::string scrape(const PrometheusCollector& collector) {
    return prometheus::TextSerializer{}.Serialize(collector.Collect());
}

bool holds(const std::string& text, const std::string& line) {
    return text.starts_with(line + "\n") || text.find("\n" + line + "\n") != std::string::npos;
}

std::size_t count(const std::string& text, const std::string& part) {
    std::size_t times = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++times;
    return times;
}

Stats offered(std::uint64_t count) {
    Stats stats;
    stats.offered = count;
    return stats;
}

} // namespace

TEST_CASE("counters, gauges and states under their conventional names", "[prometheus]") {
    PrometheusCollector collector;
    Stats stats;
    stats.offered = 12;
    stats.indexed = 7;
    stats.unknown = 2;
    stats.refused_full = 3;
    stats.buffered_bytes = 4096;
    stats.request_bytes = 99;
    stats.oldest_pending = 1500ms;
    stats.health = bulkhead::Health::backing_off;
    stats.request_failures.add(bulkhead::FailureClass::pushed_back, 5);
    collector.add([&] { return stats; });
    const auto text = scrape(collector);
    CHECK(holds(text, "# TYPE bulkhead_operations_offered_total counter"));
    CHECK(holds(text, "bulkhead_operations_offered_total 12"));
    CHECK(holds(text, "bulkhead_operations_settled_total{outcome=\"indexed\"} 7"));
    CHECK(holds(text, "bulkhead_operations_settled_total{outcome=\"unknown\"} 2"));
    CHECK(holds(text, "bulkhead_operations_refused_total{reason=\"full\"} 3"));
    CHECK(holds(text, "# TYPE bulkhead_buffer_usage_bytes gauge"));
    CHECK(holds(text, "bulkhead_buffer_usage_bytes 4096"));
    CHECK(holds(text, "bulkhead_requests_body_bytes_total 99"));
    CHECK(holds(text, "bulkhead_oldest_pending_seconds 1.5"));
    CHECK(holds(text, "bulkhead_health{state=\"backing_off\"} 1"));
    CHECK(holds(text, "bulkhead_health{state=\"ok\"} 0"));
    CHECK(holds(text, "bulkhead_requests_failures_total{class=\"pushed_back\"} 5"));
    CHECK(holds(text, "bulkhead_requests_failures_total{class=\"transport\"} 0"));
}

TEST_CASE("a histogram's buckets are cumulative seconds and end with all", "[prometheus]") {
    PrometheusCollector collector;
    Stats stats;
    stats.request_time.record(1ms, 3);
    stats.request_time.record(1s);
    stats.request_time.record(10min);
    collector.add([&] { return stats; });
    const auto families = collector.Collect();
    const auto family = std::find_if(families.begin(), families.end(),
                                     [](const auto& f) { return f.name == "bulkhead_request_duration_seconds"; });
    REQUIRE(family != families.end());
    REQUIRE(family->type == prometheus::MetricType::Histogram);
    REQUIRE(family->metric.size() == 1);
    const auto& histogram = family->metric.front().histogram;
    CHECK(histogram.sample_count == 5);
    CHECK(std::abs(histogram.sample_sum - 601.003) < 1e-6);
    std::uint64_t before = 0;
    double bound = 0;
    for (const auto& bucket : histogram.bucket) {
        CHECK(bucket.upper_bound > bound);
        CHECK(bucket.cumulative_count >= before);
        const std::uint64_t exact = (bucket.upper_bound > 0.001 ? 3U : 0U) + (bucket.upper_bound > 1 ? 1U : 0U) +
                                    (bucket.upper_bound > 600 ? 1U : 0U);
        CHECK(bucket.cumulative_count == exact);
        bound = bucket.upper_bound;
        before = bucket.cumulative_count;
    }
    CHECK(holds(scrape(collector), "bulkhead_request_duration_seconds_bucket{le=\"+Inf\"} 5"));
}

TEST_CASE("several indexers share a family and differ by their labels", "[prometheus]") {
    PrometheusCollector collector;
    collector.add([] { return offered(1); }, {{"indexer", "logs"}});
    collector.add([] { return offered(2); }, {{"indexer", "spa\"ns"}});
    collector.add([] {
        bulkhead::kafka::DriverStats driver;
        driver.source.consumed = 9;
        driver.lag = 4;
        return driver;
    });
    const auto text = scrape(collector);
    CHECK(count(text, "# TYPE bulkhead_operations_offered_total") == 1);
    CHECK(holds(text, "bulkhead_operations_offered_total{indexer=\"logs\"} 1"));
    CHECK(holds(text, "bulkhead_operations_offered_total{indexer=\"spa\\\"ns\"} 2"));
    CHECK(holds(text, "bulkhead_kafka_records_consumed_total 9"));
    CHECK(holds(text, "bulkhead_kafka_lag 4"));
    std::set<std::string> series;
    std::size_t from = 0;
    for (auto end = text.find('\n'); end != std::string::npos; from = end + 1, end = text.find('\n', from)) {
        const auto line = text.substr(from, end - from);
        if (!line.starts_with('#')) CHECK(series.insert(line.substr(0, line.rfind(' '))).second);
    }
    CHECK(series.size() > 200);
}

TEST_CASE("each scrape is a new snapshot, and a cleared collector asks nobody", "[prometheus]") {
    PrometheusCollector collector;
    std::uint64_t asked = 0;
    collector.add([&] { return offered(++asked); });
    CHECK(holds(scrape(collector), "bulkhead_operations_offered_total 1"));
    CHECK(holds(scrape(collector), "bulkhead_operations_offered_total 2"));
    collector.clear();
    CHECK(scrape(collector).empty());
    CHECK(asked == 2);
}
