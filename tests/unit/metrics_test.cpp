// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/metrics.hpp>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

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

/// Makes a field differ from what it is in a new snapshot.
void change(std::uint64_t& field) { field = 1; }
void change(std::uint64_t (&field)[outcome_count]) { std::fill(std::begin(field), std::end(field), 1); }
template <class Rep, class Period>
void change(std::chrono::duration<Rep, Period>& field) {
    field = std::chrono::seconds{1};
}
void change(Histogram& field) { field.record(std::chrono::seconds{1}); }
void change(FailureCounts& field) { field.add(FailureClass::transport, 1); }
void change(Health& field) { field = Health::flooded; }

template <class Snapshot>
struct Field {
    const char* name;
    void (*change)(Snapshot&);
};
template <class Snapshot>
Field<Snapshot> field(const char* name, void (*change)(Snapshot&)) {
    return {name, change};
}
#define BULKHEAD_FIELD(f) field<Snapshot>(#f, [](Snapshot& s) { change(s.f); })

/// Everything of a snapshot that a metric may show.
std::vector<Field<Stats>> fields_of(const Stats& /*unused*/) {
    using Snapshot = Stats;
    return {BULKHEAD_FIELD(offered),
            BULKHEAD_FIELD(accepted),
            BULKHEAD_FIELD(refused_full),
            BULKHEAD_FIELD(refused_closed),
            BULKHEAD_FIELD(refused_invalid),
            BULKHEAD_FIELD(refused_too_large),
            BULKHEAD_FIELD(indexed),
            BULKHEAD_FIELD(superseded),
            BULKHEAD_FIELD(rejected),
            BULKHEAD_FIELD(dead_lettered),
            BULKHEAD_FIELD(dropped),
            BULKHEAD_FIELD(undelivered),
            BULKHEAD_FIELD(unknown),
            BULKHEAD_FIELD(altered),
            BULKHEAD_FIELD(redirected),
            BULKHEAD_FIELD(unobserved),
            BULKHEAD_FIELD(order_uncertain),
            BULKHEAD_FIELD(retried_operations),
            BULKHEAD_FIELD(operation_failures),
            BULKHEAD_FIELD(pending),
            BULKHEAD_FIELD(waiting_for_id),
            BULKHEAD_FIELD(waiting_for_environment),
            BULKHEAD_FIELD(dead_letters_waiting),
            BULKHEAD_FIELD(oldest_pending),
            BULKHEAD_FIELD(oldest_dead_letter),
            BULKHEAD_FIELD(buffered_bytes),
            BULKHEAD_FIELD(peak_buffered_bytes),
            BULKHEAD_FIELD(buffered_bytes_limit),
            BULKHEAD_FIELD(sealed_by_count),
            BULKHEAD_FIELD(sealed_by_bytes),
            BULKHEAD_FIELD(sealed_by_interval),
            BULKHEAD_FIELD(sealed_by_flush),
            BULKHEAD_FIELD(sealed_batches),
            BULKHEAD_FIELD(batch_bytes_limit),
            BULKHEAD_FIELD(requests),
            BULKHEAD_FIELD(request_failures),
            BULKHEAD_FIELD(request_bytes),
            BULKHEAD_FIELD(in_flight),
            BULKHEAD_FIELD(in_flight_limit),
            BULKHEAD_FIELD(health),
            BULKHEAD_FIELD(append_time),
            BULKHEAD_FIELD(queue_time),
            BULKHEAD_FIELD(request_time),
            BULKHEAD_FIELD(settle_time)};
}
std::vector<Field<kafka::DriverStats>> fields_of(const kafka::DriverStats& /*unused*/) {
    using Snapshot = kafka::DriverStats;
    return {BULKHEAD_FIELD(source.consumed),
            BULKHEAD_FIELD(source.enqueued),
            BULKHEAD_FIELD(source.operations),
            BULKHEAD_FIELD(source.skipped),
            BULKHEAD_FIELD(source.without_payload),
            BULKHEAD_FIELD(source.invalid),
            BULKHEAD_FIELD(source.too_large),
            BULKHEAD_FIELD(source.settled),
            BULKHEAD_FIELD(source.failed),
            BULKHEAD_FIELD(source.abandoned),
            BULKHEAD_FIELD(source.foreign),
            BULKHEAD_FIELD(source.tracked),
            BULKHEAD_FIELD(source.outcomes),
            BULKHEAD_FIELD(source.late),
            BULKHEAD_FIELD(source.dead_letters),
            BULKHEAD_FIELD(source.letters_failed),
            BULKHEAD_FIELD(source.full),
            BULKHEAD_FIELD(source.offsets_stored),
            BULKHEAD_FIELD(source.offsets_set),
            BULKHEAD_FIELD(source.store_errors),
            BULKHEAD_FIELD(source.event_errors),
            BULKHEAD_FIELD(source.rewinds),
            BULKHEAD_FIELD(source.assigned_partitions),
            BULKHEAD_FIELD(source.paused_partitions),
            BULKHEAD_FIELD(lag),
            BULKHEAD_FIELD(ends_unknown),
            BULKHEAD_FIELD(stalled_partitions),
            BULKHEAD_FIELD(lasting_errors),
            BULKHEAD_FIELD(lost_records),
            BULKHEAD_FIELD(rebalances),
            BULKHEAD_FIELD(client_errors),
            BULKHEAD_FIELD(commit_errors),
            BULKHEAD_FIELD(commits_stale),
            BULKHEAD_FIELD(bytes_received),
            BULKHEAD_FIELD(max_poll_gap)};
}
#undef BULKHEAD_FIELD

using Reasons = std::vector<std::pair<std::string, std::string>>; ///< field → why it is no metric
Reasons not_exported(const Stats& /*unused*/) {
    return {{"failed_requests", "The sum of `bulkhead.requests.failures`"},
            {"malformed_answers", "`bulkhead.requests.failures` with the class `malformed_answer`"},
            {"health_detail", "Text, for a log"},
            {"failures", "Error types are not bounded, and a sample may quote a document"}};
}
Reasons not_exported(const kafka::DriverStats& /*unused*/) {
    return {{"source.stashed", "1 while a record waits for room, see `bulkhead.kafka.full`"},
            {"troubles", "Texts, for a log; `bulkhead.kafka.stalled` and `bulkhead.kafka.errors.lasting` count them"},
            {"lost", "Partitions are not bounded; `bulkhead.kafka.records.lost` is their sum"}};
}

std::string read_page(const std::string& path) {
    std::ifstream file{BULKHEAD_ROOT "/" + path};
    return {std::istreambuf_iterator<char>{file}, {}};
}
/// The fields that a struct of a header declares, each by its name.
std::set<std::string> declared(const std::string& header, const std::string& name) {
    std::istringstream lines{read_page("include/bulkhead/" + header)};
    std::set<std::string> fields;
    bool inside = false;
    for (std::string line; std::getline(lines, line);) {
        if (line == "struct " + name + " {") inside = true;
        if (line == "};") inside = false;
        line = line.substr(0, line.find("//"));
        if (!inside || !line.starts_with("    ") || line.starts_with("     ")) continue; // not of the struct itself
        const auto end = line.find(';');
        if (end == std::string::npos || line.find('(') != std::string::npos) continue;
        auto field = line.substr(0, std::min(line.find_first_of("={["), end));
        field.erase(field.find_last_not_of(' ') + 1);
        fields.insert(field.substr(field.rfind(' ') + 1));
    }
    return fields;
}

/// Every value of a snapshot, as far as it tells one from another, in the order of telling.
struct Values {
    std::vector<std::pair<std::string, double>> of;
    void operator()(const Metric& metric, std::string_view /*label*/, double value) {
        of.emplace_back(metric.name, value);
    }
    void operator()(const Metric& metric, const Histogram& value) {
        of.emplace_back(metric.name, static_cast<double>(value.count()));
    }
};

/// Metric → the fields that it shows, in the order of its values.
template <class Snapshot>
std::map<std::string, std::string> fields_by_metric() {
    Values before;
    for_each_metric(Snapshot{}, before);
    std::map<std::size_t, std::string> shown; // by the first value that shows it
    for (const auto& field : fields_of(Snapshot{})) {
        Snapshot changed;
        field.change(changed);
        Values after;
        for_each_metric(changed, after);
        std::set<std::string> metrics;
        std::size_t first = after.of.size();
        for (std::size_t i = after.of.size(); i-- > 0;)
            if (after.of[i] != before.of[i]) metrics.insert(after.of[first = i].first);
        INFO(field.name);
        CHECK(metrics.size() == 1); // no field is forgotten, none is shown twice
        shown[first].append("`").append(field.name).append("`");
    }
    std::map<std::string, std::string> by_metric;
    for (const auto& [value, fields] : shown) {
        auto& all = by_metric[value < before.of.size() ? before.of[value].first : ""];
        all.append(all.empty() ? "" : ", ").append(fields);
    }
    return by_metric;
}

/// What docs/monitoring.md shows of one kind of snapshot.
struct Table {
    std::map<std::string, std::string> fields;
    std::string rows;
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
        CHECK(!fields[last].empty()); // every metric shows a field
    }
    void finish() {
        if (last.empty()) return;
        for (std::size_t i = 0; i < values.size(); ++i) rows += (i == 0 ? "" : ", ") + values[i];
        rows += " | " + fields[last] + " | " + help + ". |\n";
        values.clear();
        last.clear();
    }
    std::string help;
};

template <class Snapshot>
std::string table(const std::string& snapshot) {
    Table rows;
    rows.fields = fields_by_metric<Snapshot>();
    rows.rows = "| OpenTelemetry | unit | Prometheus | kind | by | in `" + snapshot +
                "` | what |\n|---|---|---|---|---|---|---|\n";
    for_each_metric(Snapshot{}, rows);
    rows.finish();
    rows.rows += "\n| not exported | why |\n|---|---|\n";
    for (const auto& [field, why] : not_exported(Snapshot{})) rows.rows += "| `" + field + "` | " + why + ". |\n";
    return rows.rows;
}

/// Every field that is shown, or named as not shown.
template <class Snapshot>
std::multiset<std::string> named() {
    std::multiset<std::string> names;
    for (const auto& field : fields_of(Snapshot{})) names.insert(field.name);
    for (const auto& [field, why] : not_exported(Snapshot{})) names.insert(field);
    return names;
}

} // namespace

TEST_CASE("Prometheus' names are made by OpenTelemetry's rules", "[metrics]") {
    using Kind = Metric::Kind;
    CHECK(prometheus_name({"bulkhead.requests.body", "By", Kind::counter, ""}) == "bulkhead_requests_body_bytes_total");
    CHECK(prometheus_name({"bulkhead.oldest.pending", "s", Kind::gauge, ""}) == "bulkhead_oldest_pending_seconds");
    CHECK(prometheus_name({"bulkhead.health", "{state}", Kind::gauge, ""}) == "bulkhead_health");
    CHECK(prometheus_name({"a.b", "s", Kind::histogram, ""}) == "a_b_seconds");
}

TEST_CASE("docs/monitoring.md lists every metric, as it is, and every field that is none", "[metrics][F316]") {
    const std::string page = read_page("docs/monitoring.md");
    REQUIRE(!page.empty());
    for (const auto& rows : {table<Stats>("Stats"), table<kafka::DriverStats>("DriverStats")}) {
        INFO("expected in docs/monitoring.md:\n" << rows);
        CHECK(page.find(rows) != std::string::npos);
    }
}

TEST_CASE("every field of a snapshot is a metric, or is named as none", "[metrics][F316]") {
    const auto only_once = [](const std::set<std::string>& fields) {
        return std::multiset<std::string>{fields.begin(), fields.end()};
    };
    const auto stats = declared("stats.hpp", "Stats");
    CHECK(stats.size() > 40);
    CHECK(named<Stats>() == only_once(stats));
    auto driver = declared("kafka/driver_stats.hpp", "DriverStats");
    CHECK(driver.erase("source") == 1);
    for (const auto& field : declared("kafka/source_stats.hpp", "SourceStats")) driver.insert("source." + field);
    CHECK(driver.size() > 30);
    CHECK(named<kafka::DriverStats>() == only_once(driver));
}

TEST_CASE("the dashboard shows every metric but those that are named here", "[metrics][F316]") {
    // Sums and parts of what it shows, and what is for a closer look.
    const std::set<std::string> left_out{
        "bulkhead_operations_accepted_total",
        "bulkhead_buffer_peak_bytes",
        "bulkhead_batches_limit_bytes",
        "bulkhead_kafka_records_enqueued_total",
        "bulkhead_kafka_records_without_payload_total",
        "bulkhead_kafka_operations_enqueued_total",
        "bulkhead_kafka_operations_settled_total",
        "bulkhead_kafka_client_received_bytes_total",
    };
    const std::string board = read_page("docs/monitoring/dashboard.json");
    std::set<std::string> missing;
    const auto look = [&](const Metric& metric, const auto&...) {
        const auto name = prometheus_name(metric);
        auto at = board.find(name);
        const auto whole = [&] {
            const char next = board[at + name.size()];
            return next == '{' || next == ')' || next == '[' || (metric.kind == Metric::Kind::histogram && next == '_');
        };
        while (at != std::string::npos && !whole()) at = board.find(name, at + 1);
        if (at == std::string::npos) missing.insert(name);
    };
    for_each_metric(Stats{}, look);
    for_each_metric(kafka::DriverStats{}, look);
    CHECK(missing == left_out);
}
