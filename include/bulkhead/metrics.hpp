// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/driver_stats.hpp>
#include <bulkhead/kafka/source_stats.hpp>
#include <bulkhead/stats.hpp>

#include <chrono>
#include <string>
#include <string_view>

/// Every counter under the name that a monitoring system knows it by. One list, of which `prometheus.hpp` and the
/// table in docs/monitoring.md are made; feed any other system by a visitor of your own.
namespace bulkhead::inline v1 {

/// What a value is called and what it means. The name and the unit follow OpenTelemetry's conventions (units are
/// UCUM's); `prometheus_name` makes Prometheus' name of it by OpenTelemetry's own rules, so that both ways of
/// exporting end in the same name.
struct Metric {
    /// What may be done with the value.
    enum class Kind : std::uint8_t {
        counter,   ///< only grows, until the process ends
        gauge,     ///< as it is now
        histogram, ///< durations
    };
    std::string_view name;    ///< e.g. `bulkhead.operations.settled`
    std::string_view unit;    ///< `{operation}`, `By`, `s`, …
    Kind kind{};              ///< what may be done with the value
    std::string_view help;    ///< one sentence, without its full stop
    std::string_view label{}; ///< the attribute by which there are several values; empty: there is one
};

/// Prometheus' name, by the rules by which OpenTelemetry's exporters make it: `bulkhead.requests.body` in `By`, a
/// counter, is `bulkhead_requests_body_bytes_total`.
[[nodiscard]] inline std::string prometheus_name(const Metric& metric) {
    std::string name{metric.name};
    for (auto& c : name)
        if (c == '.') c = '_';
    if (metric.unit == "s") name += "_seconds";
    if (metric.unit == "By") name += "_bytes";
    if (metric.kind == Metric::Kind::counter) name += "_total";
    return name;
}

namespace detail {

/// Says the metrics' kinds in short, and turns what is counted into numbers.
template <class V>
class MetricList {
public:
    explicit MetricList(V& visit) : visit_{visit} {}
    void counter(std::string_view name, std::string_view unit, std::string_view help, std::uint64_t value) {
        visit_(Metric{name, unit, Metric::Kind::counter, help}, std::string_view{}, static_cast<double>(value));
    }
    void gauge(std::string_view name, std::string_view unit, std::string_view help, std::uint64_t value) {
        visit_(Metric{name, unit, Metric::Kind::gauge, help}, std::string_view{}, static_cast<double>(value));
    }
    void gauge(std::string_view name, std::string_view help, std::chrono::nanoseconds value) {
        const std::chrono::duration<double> seconds = value;
        visit_(Metric{name, "s", Metric::Kind::gauge, help}, std::string_view{}, seconds.count());
    }
    void histogram(std::string_view name, std::string_view help, const Histogram& value) {
        visit_(Metric{name, "s", Metric::Kind::histogram, help}, value);
    }
    /// One value of several.
    void of(const Metric& metric, std::string_view label, std::uint64_t value) {
        visit_(metric, label, static_cast<double>(value));
    }

private:
    V& visit_;
};

} // namespace detail

/// Calls `visit(const Metric&, std::string_view label_value, double value)` or `visit(const Metric&, const Histogram&)`
/// for everything that an indexer counts. Values of one metric follow each other.
template <class Visitor>
void for_each_metric(const Stats& s, Visitor&& visit) {
    using Kind = Metric::Kind;
    detail::MetricList list{visit};
    const std::string_view op = "{operation}";

    list.counter("bulkhead.operations.offered", op, "Operations handed to an enqueue function", s.offered);
    list.counter("bulkhead.operations.accepted", op, "Operations accepted, each to be settled exactly once",
                 s.accepted);
    list.counter("bulkhead.operations.altered", op, "Accepted operations with a newline in a string, now a space",
                 s.altered);
    const Metric refused{"bulkhead.operations.refused", op, Kind::counter, "Operations not accepted, by reason",
                         "reason"};
    list.of(refused, "full", s.refused_full);
    list.of(refused, "closed", s.refused_closed);
    list.of(refused, "invalid", s.refused_invalid);
    list.of(refused, "too_large", s.refused_too_large);
    const Metric settled{"bulkhead.operations.settled", op, Kind::counter, "Operations that have ended, by outcome",
                         "outcome"};
    list.of(settled, to_string(Outcome::indexed), s.indexed);
    list.of(settled, to_string(Outcome::superseded), s.superseded);
    list.of(settled, to_string(Outcome::rejected), s.rejected);
    list.of(settled, to_string(Outcome::dead_lettered), s.dead_lettered);
    list.of(settled, to_string(Outcome::dropped), s.dropped);
    list.of(settled, to_string(Outcome::undelivered), s.undelivered);
    list.of(settled, to_string(Outcome::unknown), s.unknown);
    list.counter("bulkhead.operations.redirected", op, "Operations that ended in the failure store of a data stream",
                 s.redirected);
    list.counter("bulkhead.operations.unobserved", op, "Settlements of which no observer was notified", s.unobserved);
    list.counter("bulkhead.operations.order_uncertain", op,
                 "Settled operations that a late attempt may undo although they were ordered by id", s.order_uncertain);
    list.counter("bulkhead.operations.retried", op, "Operations put back to be sent again", s.retried_operations);
    const Metric failures{"bulkhead.operations.failures", op, Kind::counter,
                          "Failures that operations met, by class; one that is tried again may meet several", "class"};
    for (std::size_t i = 0; i < failure_class_count; ++i) {
        const auto failure = static_cast<FailureClass>(i);
        list.of(failures, to_string(failure), s.operation_failures.of(failure));
    }

    list.gauge("bulkhead.operations.pending", op, "Operations accepted and not settled", s.pending);
    const Metric waiting{"bulkhead.operations.waiting", op, Kind::gauge,
                         "Pending operations that wait for something else than their turn", "cause"};
    list.of(waiting, "id", s.waiting_for_id);
    list.of(waiting, "environment", s.waiting_for_environment);
    list.of(waiting, "dead_letter_sink", s.dead_letters_waiting);
    list.gauge("bulkhead.oldest.pending", "Age of the oldest pending operation", s.oldest_pending);
    list.gauge("bulkhead.oldest.dead_letter", "Age of the oldest operation that waits for the dead-letter sink",
               s.oldest_dead_letter);
    list.gauge("bulkhead.buffer.usage", "By", "Memory that counts against the buffer's limit", s.buffered_bytes);
    list.gauge("bulkhead.buffer.peak", "By", "The most that the buffer's usage ever was", s.peak_buffered_bytes);
    list.gauge("bulkhead.buffer.limit", "By", "max_buffered_bytes", s.buffered_bytes_limit);

    const Metric sealed{"bulkhead.batches.sealed", "{batch}", Kind::counter, "Batches closed, by what closed them",
                        "trigger"};
    list.of(sealed, "count", s.sealed_by_count);
    list.of(sealed, "bytes", s.sealed_by_bytes);
    list.of(sealed, "interval", s.sealed_by_interval);
    list.of(sealed, "flush", s.sealed_by_flush);
    list.gauge("bulkhead.batches.waiting", "{batch}", "Batches that wait to be sent, those to be sent again included",
               s.sealed_batches);
    list.gauge("bulkhead.batches.limit", "By", "The largest batch that is made now", s.batch_bytes_limit);

    list.counter("bulkhead.requests.sent", "{request}", "Bulk requests sent, those sent again included", s.requests);
    const Metric failed{"bulkhead.requests.failures", "{request}", Kind::counter,
                        "Bulk requests that failed as a whole, by class", "class"};
    for (std::size_t i = 0; i < failure_class_count; ++i) {
        const auto failure = static_cast<FailureClass>(i);
        list.of(failed, to_string(failure), s.request_failures.of(failure));
    }
    list.counter("bulkhead.requests.body", "By", "Bodies of bulk requests, uncompressed", s.request_bytes);
    list.gauge("bulkhead.requests.in_flight", "{request}", "Bulk requests under way", s.in_flight);
    list.gauge("bulkhead.requests.in_flight_limit", "{request}", "How many may be under way now", s.in_flight_limit);
    const Metric health{"bulkhead.health", "{state}", Kind::gauge,
                        "1 for the state that the indexer is in, 0 for the others", "state"};
    for (std::size_t i = 0; i < health_count; ++i) {
        const auto state = static_cast<Health>(i);
        list.of(health, to_string(state), s.health == state ? 1 : 0);
    }

    list.histogram("bulkhead.append.duration", "Calls that accepted operations, one for about 256 operations",
                   s.append_time);
    list.histogram("bulkhead.queue.duration", "From opening a batch to sending it for the first time", s.queue_time);
    list.histogram("bulkhead.request.duration", "From sending a bulk request to its answer or its failure",
                   s.request_time);
    list.histogram("bulkhead.settle.duration", "From opening a batch to settling each of its operations",
                   s.settle_time);
}

/// The same for everything that a `KafkaSource` counts.
template <class Visitor>
void for_each_metric(const SourceStats& s, Visitor&& visit) {
    using Kind = Metric::Kind;
    detail::MetricList list{visit};
    const std::string_view record = "{record}";
    const std::string_view op = "{operation}";

    list.counter("bulkhead.kafka.records.consumed", record, "Records taken from the consumer", s.consumed);
    list.counter("bulkhead.kafka.records.enqueued", record, "Records whose operations the indexer accepted",
                 s.enqueued);
    list.counter("bulkhead.kafka.operations.enqueued", op, "Operations of records that the indexer accepted",
                 s.operations);
    const Metric passed{"bulkhead.kafka.records.passed_over", record, Kind::counter,
                        "Records that came to nothing, by reason", "reason"};
    list.of(passed, "skipped", s.skipped);
    list.of(passed, "invalid", s.invalid);
    list.of(passed, "too_large", s.too_large);
    list.counter("bulkhead.kafka.records.without_payload", record, "Skipped records that have no payload",
                 s.without_payload);
    list.counter("bulkhead.kafka.records.settled", record, "Records whose offset may be stored", s.settled);
    list.counter("bulkhead.kafka.records.failed", record, "Records not proven, which the watermark never passes",
                 s.failed);
    list.counter("bulkhead.kafka.records.abandoned", record,
                 "Records given back unsettled with their partition, to be read again", s.abandoned);
    list.counter("bulkhead.kafka.records.foreign", record, "Records ignored since their partition is not assigned",
                 s.foreign);
    list.gauge("bulkhead.kafka.records.tracked", record, "Records that wait for settlements", s.tracked);
    const Metric operations{"bulkhead.kafka.operations.settled", op, Kind::counter,
                            "Operations of records that have ended, by outcome", "outcome"};
    for (std::size_t i = 0; i < outcome_count; ++i) {
        const auto outcome = static_cast<Outcome>(i);
        list.of(operations, to_string(outcome), s.of(outcome));
    }
    list.counter("bulkhead.kafka.operations.late", op, "Settlements of operations whose record had been given back",
                 s.late);
    list.counter("bulkhead.kafka.dead_letters.written", "{letter}", "Dead letters safe in the dead-letter topic",
                 s.dead_letters);
    list.counter("bulkhead.kafka.dead_letters.failed", "{letter}",
                 "Dead letters that could not be written to the dead-letter topic", s.letters_failed);
    list.counter("bulkhead.kafka.full", "{time}", "How often the indexer was found full", s.full);
    list.counter("bulkhead.kafka.offsets.stored", "{offset}", "Offsets stored with the client", s.offsets_stored);
    list.counter("bulkhead.kafka.offsets.set", "{offset}",
                 "Offsets set with the client, for a new assignment or after a rewind", s.offsets_set);
    list.counter("bulkhead.kafka.offsets.store_errors", "{error}", "Offsets that the client did not take at once",
                 s.store_errors);
    list.counter("bulkhead.kafka.events.failed", "{event}", "Events that on_event did not take, or that had no memory",
                 s.event_errors);
    list.counter("bulkhead.kafka.rewinds", "{rewind}",
                 "How often the client went back to an offset that it had delivered", s.rewinds);
    const Metric partitions{"bulkhead.kafka.partitions", "{partition}", Kind::gauge, "Partitions by state", "state"};
    list.of(partitions, "assigned", s.assigned_partitions);
    list.of(partitions, "paused", s.paused_partitions);
}

/// The same for a `kafka::Driver` and its source.
template <class Visitor>
void for_each_metric(const kafka::DriverStats& s, Visitor&& visit) {
    for_each_metric(s.source, visit);
    detail::MetricList list{visit};
    const std::string_view record = "{record}";
    list.gauge("bulkhead.kafka.lag", record, "Records of the assigned partitions that are not taken yet", s.lag);
    list.gauge("bulkhead.kafka.ends_unknown", "{partition}",
               "Assigned partitions whose end was never known, so that the lag does not count them", s.ends_unknown);
    list.gauge("bulkhead.kafka.stalled", "{partition}",
               "Assigned partitions that stand still although there is something to read, or may be",
               s.stalled_partitions);
    list.gauge("bulkhead.kafka.errors.lasting", "{error}",
               "Errors of partitions, topics and the group that the client reported once and that are not over",
               s.lasting_errors);
    list.counter("bulkhead.kafka.records.lost", record, "Records that retention took before they were read",
                 s.lost_records);
    list.counter("bulkhead.kafka.rebalances", "{rebalance}", "How often the group gave this member its partitions",
                 s.rebalances);
    list.counter("bulkhead.kafka.client.errors", "{error}", "Errors that the client reported and recovers from",
                 s.client_errors);
    list.counter("bulkhead.kafka.commits.failed", "{commit}", "Commits that failed and are made later",
                 s.commit_errors);
    list.counter("bulkhead.kafka.commits.stale", "{commit}", "Commits that came when the group had moved on",
                 s.commits_stale);
    list.counter("bulkhead.kafka.client.received", "By", "Bytes received from the brokers", s.bytes_received);
    list.gauge("bulkhead.kafka.poll.longest_gap", "The longest time that the client was not polled", s.max_poll_gap);
}

} // namespace bulkhead::inline v1
