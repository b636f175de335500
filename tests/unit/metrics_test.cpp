// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/metrics.hpp>

#include <fstream>
#include <iterator>
#include <set>

using namespace bulkhead;

namespace {

const char* to_string(Metric::Kind kind) {
    switch (kind) {
    case Metric::Kind::counter: return "counter";
    case Metric::Kind::gauge: return "gauge";
    case Metric::Kind::histogram: return "histogram";
    }
    return "";
}

/// What docs/monitoring.md shows of one kind of snapshot.
struct Table {
    std::string rows = "| OpenTelemetry | unit | Prometheus | kind | by | what |\n|---|---|---|---|---|---|\n";
    std::set<std::string> names;
    std::string last;
    std::vector<std::string> values;

    void operator()(const Metric& metric, std::string_view label, double /*value*/) {
        begin(metric);
        if (!label.empty()) values.emplace_back(label);
    }
    void operator()(const Metric& metric, const Histogram& /*value*/) { begin(metric); }
    void begin(const Metric& metric) {
        if (metric.name == last) return;
        finish();
        last = metric.name;
        CHECK(names.insert(last).second); // values of one metric follow each other
        CHECK(metric.help.back() != '.');
        rows += "| `" + last + "` | `" + std::string{metric.unit} + "` | `" + prometheus_name(metric) + "` | " +
                to_string(metric.kind) + " | ";
        if (!metric.label.empty()) rows += "`" + std::string{metric.label} + "`: ";
        help = metric.help;
    }
    void finish() {
        if (last.empty()) return;
        for (std::size_t i = 0; i < values.size(); ++i) rows += (i == 0 ? "" : ", ") + values[i];
        rows += " | " + help + ". |\n";
        values.clear();
        last.clear();
    }
    std::string help;
};

template <class Snapshot>
std::string table() {
    Table rows;
    for_each_metric(Snapshot{}, rows);
    rows.finish();
    return rows.rows;
}

} // namespace

TEST_CASE("Prometheus' names are made by OpenTelemetry's rules", "[metrics]") {
    using Kind = Metric::Kind;
    CHECK(prometheus_name({"bulkhead.requests.body", "By", Kind::counter, ""}) == "bulkhead_requests_body_bytes_total");
    CHECK(prometheus_name({"bulkhead.oldest.pending", "s", Kind::gauge, ""}) == "bulkhead_oldest_pending_seconds");
    CHECK(prometheus_name({"bulkhead.health", "{state}", Kind::gauge, ""}) == "bulkhead_health");
    CHECK(prometheus_name({"a.b", "s", Kind::histogram, ""}) == "a_b_seconds");
}

TEST_CASE("docs/monitoring.md lists every metric, as it is", "[metrics]") {
    const std::string path = BULKHEAD_ROOT "/docs/monitoring.md";
    std::ifstream file{path};
    const std::string page{std::istreambuf_iterator<char>{file}, {}};
    REQUIRE(!page.empty());
    for (const auto& rows : {table<Stats>(), table<kafka::DriverStats>()}) {
        INFO("expected in " << path << ":\n" << rows);
        CHECK(page.find(rows) != std::string::npos);
    }
}
