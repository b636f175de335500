// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/rdkafka/detail/client/partition_list.hpp>
#include <bulkhead/kafka/rdkafka/driver_options.hpp>
#include <bulkhead/kafka/rdkafka/handles.hpp>

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

/// The consumer's configuration: the properties that the driver sets, refuses and checks.
namespace bulkhead::inline v1::kafka::detail {

/// Why the driver refuses this property, if it does: it sets the property itself, to another value or from a field.
[[nodiscard]] inline std::optional<FieldError> refused_property(const std::string& key, const std::string& value) {
    constexpr std::pair<std::string_view, std::string_view> fixed[] = {
        {"enable.auto.offset.store", "false"}, {"enable.auto.commit", "true"}, {"auto.commit.enable", "true"}};
    for (const auto& [name, only] : fixed)
        if (key == name && value != only)
            return FieldError{key, std::string{only} + " (KafkaSource decides which offsets are stored)", value};
    constexpr std::pair<std::string_view, std::string_view> fields[] = {
        {"bootstrap.servers", "brokers"},
        {"metadata.broker.list", "brokers"},
        {"group.id", "group"},
        {"auto.commit.interval.ms", "commit_interval"},
        {"queued.max.messages.kbytes", "prefetch_bytes"},
        {"log.queue", "on_event"}};
    for (const auto& [name, field] : fields)
        if (key == name) return FieldError{key, "DriverOptions::" + std::string{field} + " instead", value};
    return std::nullopt;
}

/// A property of the configuration as a number; nothing when it is none.
[[nodiscard]] inline std::optional<std::int64_t> property_number(const rd_kafka_conf_t& conf, const char* key) {
    std::array<char, 64> text{};
    auto size = text.size();
    if (rd_kafka_conf_get(&conf, key, text.data(), &size) != RD_KAFKA_CONF_OK) return std::nullopt;
    std::int64_t number = 0;
    const std::string_view digits{text.data()};
    const auto [rest, wrong] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return wrong == std::errc{} ? std::optional{number} : std::nullopt;
}
/// Whether the client goes to the end of the log when its offset is gone.
[[nodiscard]] inline bool resets_to_end(const DriverOptions& options) {
    bool to_end = false; // the driver's own default is `earliest`
    for (const auto& [key, value] : options.config)
        if (key == "auto.offset.reset" || key == "topic.auto.offset.reset")
            to_end = value == "latest" || value == "largest" || value == "end";
    return to_end;
}

/// Whether dead letters would be read again and become dead letters, without end: the list has their topic.
[[nodiscard]] inline bool reads_dead_letters(const DriverOptions& options,
                                             const rd_kafka_topic_partition_list_t& list) {
    const auto elsewhere = [](const auto& setting) {
        return setting.first == "bootstrap.servers" || setting.first == "metadata.broker.list";
    };
    const auto& config = options.dead_letter_config;
    if (std::any_of(config.begin(), config.end(), elsewhere)) return false;
    const auto all = span_of(list);
    return std::any_of(all.begin(), all.end(), [&](const auto& p) { return options.dead_letter_topic == p.topic; });
}

/// Throws `InvalidOption` when two values do not go together.
inline void check_intervals(const rd_kafka_conf_t& conf, const DriverOptions& options) {
    const auto max_poll = property_number(conf, "max.poll.interval.ms");
    if (max_poll && options.revoke_drain > std::chrono::milliseconds{*max_poll} / 2)
        throw InvalidOption{{"revoke_drain", "at most half of max.poll.interval.ms, " + std::to_string(*max_poll),
                             std::to_string(options.revoke_drain.count()) + " ms"}};
    const std::chrono::milliseconds statistics{property_number(conf, "statistics.interval.ms").value_or(0)};
    const auto most = options.stall_after / 3;
    if (statistics.count() == 0 || statistics > most)
        throw InvalidOption{{"statistics.interval.ms", "1 to a third of stall_after, " + std::to_string(most.count()),
                             std::to_string(statistics.count())}};
}

/// Throws `InvalidOption`.
[[nodiscard]] inline ConfPtr make_conf(const DriverOptions& options) {
    if (auto wrong = validate(options)) throw InvalidOption{std::move(*wrong)};
    ConfPtr conf{rd_kafka_conf_new()};
    set_property(*conf, "auto.offset.reset", "earliest"); // librdkafka's own default would skip a backlog silently
    constexpr std::chrono::milliseconds seldom{1000};
    set_property(*conf, "statistics.interval.ms", std::to_string(std::min(seldom, options.stall_after / 3).count()));
    for (const auto& [key, value] : options.config) {
        if (auto wrong = refused_property(key, value)) throw InvalidOption{std::move(*wrong)};
        set_property(*conf, key, value);
    }
    set_property(*conf, "bootstrap.servers", options.brokers);
    set_property(*conf, "group.id", options.group);
    set_property(*conf, "enable.auto.offset.store", "false");
    set_property(*conf, "enable.auto.commit", "true");
    set_property(*conf, "auto.commit.interval.ms", std::to_string(options.commit_interval.count()));
    set_property(*conf, "queued.max.messages.kbytes", std::to_string(options.prefetch_bytes / 1024));
    if (options.on_event) set_property(*conf, "log.queue", "true");
    check_intervals(*conf, options);
    return conf;
}

} // namespace bulkhead::inline v1::kafka::detail
