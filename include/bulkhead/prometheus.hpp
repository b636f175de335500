// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/metrics.hpp>

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

/// What indexers and Kafka sources count, for prometheus-cpp. Link `bulkhead::prometheus`.
namespace bulkhead::inline v1 {

/// Asks for a snapshot at each scrape, and costs nothing in between:
///
///     auto collector = std::make_shared<PrometheusCollector>();
///     collector->add([&] { return indexer.stats(); }, {{"indexer", "logs"}});
///     exposer.RegisterCollectable(collector);
///
/// All member functions: any thread.
class PrometheusCollector final : public ::prometheus::Collectable {
public:
    /// Names and values that set one source's values apart from another's.
    using Labels = std::map<std::string, std::string>;

    /// `snapshot` returns `Stats`, `SourceStats` or `kafka::DriverStats`. It is called by whichever thread scrapes, one
    /// scrape at a time, until this is destroyed or `clear`ed: what it refers to must live as long. (`stats()` of an
    /// indexer and of a `kafka::Driver` are for any thread; a `KafkaSource`'s own is not.) Two snapshots of one type
    /// need labels that differ.
    template <class Snapshot>
    void add(Snapshot snapshot, Labels labels = {}) {
        const std::lock_guard lock{mutex_};
        sources_.push_back([snapshot = std::move(snapshot), labels = std::move(labels)](Families& families) {
            for_each_metric(snapshot(), Visitor{families, labels});
        });
    }
    /// Forgets all snapshots, and returns when none is being asked any more.
    void clear() {
        const std::lock_guard lock{mutex_};
        sources_.clear();
    }
    /// For prometheus-cpp.
    [[nodiscard]] std::vector<::prometheus::MetricFamily> Collect() const override {
        Families families;
        const std::lock_guard lock{mutex_};
        for (const auto& source : sources_) source(families);
        return std::move(families.all);
    }

private:
    struct Families {
        std::vector<::prometheus::MetricFamily> all;
        std::map<std::string, std::size_t, std::less<>> by_name;
        ::prometheus::ClientMetric& add(const Metric& metric, const Labels& labels) {
            const auto [place, fresh] = by_name.try_emplace(prometheus_name(metric), all.size());
            if (fresh)
                all.push_back({.name = place->first,
                               .help = std::string{metric.help} + '.',
                               .type = type_of(metric.kind),
                               .metric = {}});
            auto& value = all[place->second].metric.emplace_back();
            for (const auto& [name, text] : labels) value.label.push_back({name, text});
            return value;
        }
    };
    struct Visitor {
        Families& families;
        const Labels& labels;
        void operator()(const Metric& metric, std::string_view label, double value) const {
            auto& added = families.add(metric, labels);
            if (!metric.label.empty()) added.label.push_back({std::string{metric.label}, std::string{label}});
            if (metric.kind == Metric::Kind::counter) added.counter.value = value;
            if (metric.kind == Metric::Kind::gauge) added.gauge.value = value;
        }
        /// A bucket for each doubling: `histogram_quantile` is then right to a factor of two at worst.
        void operator()(const Metric& metric, const Histogram& value) const {
            constexpr unsigned first_bits = 7; // 128 ns
            constexpr unsigned last_bits = 36; // 69 s
            auto& added = families.add(metric, labels).histogram;
            added.sample_count = value.count();
            added.sample_sum = value.sum().count();
            for (auto bits = first_bits; bits <= last_bits; ++bits)
                added.bucket.push_back({value.count_below(bits), static_cast<double>(std::uint64_t{1} << bits) * 1e-9});
            added.bucket.push_back({value.count(), std::numeric_limits<double>::infinity()});
        }
    };
    static ::prometheus::MetricType type_of(Metric::Kind kind) noexcept {
        switch (kind) {
        case Metric::Kind::counter: return ::prometheus::MetricType::Counter;
        case Metric::Kind::gauge: return ::prometheus::MetricType::Gauge;
        case Metric::Kind::histogram: return ::prometheus::MetricType::Histogram;
        }
        return ::prometheus::MetricType::Untyped;
    }

    mutable std::mutex mutex_;
    std::vector<std::function<void(Families&)>> sources_;
};

} // namespace bulkhead::inline v1
