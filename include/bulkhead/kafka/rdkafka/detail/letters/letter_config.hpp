// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>
#include <bulkhead/kafka/rdkafka/handles.hpp>

#include <librdkafka/rdkafka.h>

#include <array>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The configuration of the producer of dead letters.
namespace bulkhead::inline v1::kafka::detail {

/// A letter is safe when all brokers that should have it have it, and they report it. Throws `InvalidOption`.
inline void check_letters_are_safe(const rd_kafka_conf_t& conf) {
    const auto refuse = [&](const char* key, std::string_view only, std::initializer_list<std::string_view> wrong) {
        std::array<char, 32> text{};
        auto size = text.size();
        if (rd_kafka_conf_get(&conf, key, text.data(), &size) != RD_KAFKA_CONF_OK) return;
        for (const std::string_view value : wrong)
            if (value == text.data())
                throw InvalidOption{{key, std::string{only} + ", of the producer of dead letters", text.data()}};
    };
    refuse("delivery.report.only.error", "false", {"true"});
    refuse("acks", "all", {"0", "1"});
}

/// Properties, in order; the later one of the same name counts.
using Properties = std::vector<std::pair<std::string, std::string>>;

/// `configs`: the consumer's properties (what only a consumer has is passed over), then the producer's own. Throws
/// `InvalidOption`.
[[nodiscard]] inline ConfPtr make_letter_conf(const std::string& brokers, std::array<const Properties*, 2> configs) {
    ConfPtr conf{rd_kafka_conf_new()};
    set_property(*conf, "bootstrap.servers", brokers);
    set_property(*conf, "acks", "all");
    set_property(*conf, "message.timeout.ms", "0");
    set_property(*conf, "linger.ms", "5");
    // What may be under way is bounded by the source and by the indexer's budget. librdkafka's own limits would be
    // met before those in an outage, and a letter that it does not take is a final failure.
    set_property(*conf, "queue.buffering.max.messages", "0");
    set_property(*conf, "queue.buffering.max.kbytes", "2147483647");
    set_property(*conf, "log_level", "3"); // or it would name each property that is a consumer's only
    for (const auto* config : configs)
        for (const auto& [key, value] : *config) set_property(*conf, key, value);
    check_letters_are_safe(*conf);
    return conf;
}

} // namespace bulkhead::inline v1::kafka::detail
