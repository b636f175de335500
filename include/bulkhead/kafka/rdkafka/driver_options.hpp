// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/dead_letter.hpp>
#include <bulkhead/kafka/rdkafka/client_event.hpp>
#include <bulkhead/options.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::kafka {

/// The options of a `Driver`.
///
/// A message of `dead_letter_topic` is the record itself, where it is known (key, payload, headers, timestamp), and
/// otherwise the operation as two lines of NDJSON, as it was sent, without a key. The rest is in headers, each of them
/// text: `bulkhead.topic`, `bulkhead.partition`, `bulkhead.offset` (where it came from), `bulkhead.type`,
/// `bulkhead.reason`, `bulkhead.status`, `bulkhead.attempts`, and with a record whose operation failed
/// `bulkhead.operation`, its NDJSON, unless the message would be too large with it.
struct DriverOptions {
    /// `bootstrap.servers`: `host:port`, with commas between several. Not empty. When to change: always but on your own
    /// machine.
    std::string brokers = "127.0.0.1:9092";
    /// `group.id`. Required. When to change: always.
    std::string group{};
    /// The topics to read, at least one. A name that begins with `^` is a regular expression. Required. When to change:
    /// always.
    std::vector<std::string> topics{};
    /// Further properties of librdkafka's, e.g. `{"security.protocol", "ssl"}`. Refused, because the source depends on
    /// them: `enable.auto.offset.store` and `enable.auto.commit` with another value than the driver's (`false`,
    /// `true`), and what has a field of its own here. `statistics.interval.ms` is 1,000, or a third of `stall_after`
    /// where that is less, and may be less. When to change: for TLS and SASL of
    /// the brokers, `group.instance.id`, `auto.offset.reset`, ….
    std::vector<std::pair<std::string, std::string>> config{};
    /// Where dead letters go, see `KafkaSourceOptions`' policies and `KafkaDeadLetters`; empty: nowhere. What the
    /// messages look like: `kafka/rdkafka/driver_options.hpp`. The topic must exist, or be made by the brokers,
    /// and must not be read: the driver ends with a fatal error when a regular expression of `topics` matches it. When
    /// to change: when a policy says `dead_letter`, or refused documents are to go to Kafka.
    std::string dead_letter_topic{};
    /// Further properties of the producer of dead letters, which has those of `config` already; also
    /// `bootstrap.servers`, where the topic is in another cluster. When to change: when that topic is in another
    /// cluster or has its own credentials. Refused, in `config` too: `delivery.report.only.error`, and `acks` 0 or 1,
    /// with which a letter would count as safe too early or never.
    std::vector<std::pair<std::string, std::string>> dead_letter_config{};
    /// Takes dead letters where there is no `dead_letter_topic`: called on the driver's thread with each letter, whose
    /// views it must copy. It calls the receipt once, on any thread, when the letter is safe or cannot be made safe. It
    /// must not block; an exception counts as a letter that is not safe. When to change: when invalid records go to a
    /// file or to a store of your own.
    std::function<void(const KafkaLetter&, LetterReceipt)> write_letter{};
    /// How often stored offsets are committed in the background. 10 ms to 1 h. When to change: raise it to spare the
    /// brokers, lower it to read less again after a crash.
    std::chrono::milliseconds commit_interval{1000};
    /// How long a rebalance may wait for records under way to settle before their partitions are given up. 0 ms to 12
    /// h, and at most half of `max.poll.interval.ms`, which is 5 min by default. 0 ms: not at all. When to change:
    /// lower it when rebalances must be quick; what is given up is read again by its new owner.
    std::chrono::milliseconds revoke_drain{10'000};
    /// How long the final commit of a revoke or a close may take. 1 ms to 1 min. When to change: raise it when the
    /// brokers are far away.
    std::chrono::milliseconds commit_timeout{5'000};
    /// Memory for records that the client has fetched ahead. 1 KiB to 2,097,151 KiB. When to change: raise it when the
    /// brokers are far away, lower it to save memory.
    std::size_t prefetch_bytes = std::size_t{16} << 20;
    /// How long a partition may stand still although there is something to read, or may be, and an error of a
    /// partition, a topic or the group may last, before `ClientEvent::Kind::trouble` reports it. 100 ms to 24 h. When
    /// to change: raise it when the brokers often need longer, e.g. to elect a leader.
    std::chrono::milliseconds stall_after{30'000};
    /// So many records a second are taken at most, in bursts of a tenth of it; the rest waits in the brokers. The
    /// client is polled at least once a second all the same. 0: no limit. When to change: to replay beside production
    /// without taking all of the server.
    std::uint32_t max_records_per_second = 0;
    /// Called on the driver's thread, but for log lines while it does not poll. Exceptions are swallowed. Without it,
    /// librdkafka logs to standard error, and everything else is only counted. When to change: always in production: to
    /// log errors, troubles that last, lost records, rebalances and failed commits.
    std::function<void(const ClientEvent&)> on_event{};
};

/// The first option that is out of its range, if any.
[[nodiscard]] inline std::optional<FieldError> validate(const DriverOptions& o) {
    using namespace std::chrono_literals;
    using bulkhead::detail::out_of_range;
    if (o.brokers.empty()) return FieldError{"brokers", "host:port, …", "nothing"};
    if (o.group.empty()) return FieldError{"group", "the name of a consumer group", "nothing"};
    if (o.topics.empty()) return FieldError{"topics", "at least one topic", "none"};
    for (const auto& topic : o.topics)
        if (topic.empty()) return FieldError{"topics", "names of topics", "an empty name"};
    for (const auto& topic : o.topics)
        if (topic == o.dead_letter_topic)
            return FieldError{"dead_letter_topic", "a topic that is not read itself", o.dead_letter_topic};
    if (o.write_letter && !o.dead_letter_topic.empty())
        return FieldError{"write_letter", "nothing where there is a dead_letter_topic", "a function"};
    if (auto e = out_of_range("commit_interval", o.commit_interval, 10ms, 1h)) return e;
    if (auto e = out_of_range("revoke_drain", o.revoke_drain, 0ms, 12h)) return e;
    if (auto e = out_of_range("commit_timeout", o.commit_timeout, 1ms, 1min)) return e;
    if (auto e = out_of_range("stall_after", o.stall_after, 100ms, 24h)) return e;
    return out_of_range<std::size_t>("prefetch_bytes", o.prefetch_bytes, 1024, std::size_t{2'097'151} * 1024);
}

} // namespace bulkhead::inline v1::kafka
