// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace bulkhead::inline v1::kafka::detail {

/// What librdkafka's statistics report of one partition. An offset below 0 is not known.
struct PartitionStatistics {
    /// The partition's topic.
    std::string topic{};
    /// The partition's number.
    std::int32_t partition = 0;
    /// The client's state of it: `active` while it fetches.
    std::string fetch_state{};
    /// Records that wait in the client. librdkafka 2.0.2 reports the queue of all partitions here.
    std::int64_t fetchq_cnt = 0;
    /// The offset that the client fetches next. It passes transaction markers and what compaction removed.
    std::int64_t next_offset = -1;
    /// The first offset of the log.
    std::int64_t lo_offset = -1;
    /// The end of the log. Negative, too, while the brokers refuse the fetch.
    std::int64_t hi_offset = -1;
    /// The end of what may be read: below `hi_offset` where a transaction is open, under `read_committed`.
    std::int64_t ls_offset = -1;

    /// The offset after the last one that may be read; nothing while it is not known.
    [[nodiscard]] std::optional<std::int64_t> end() const noexcept {
        if (ls_offset >= 0) return ls_offset;
        return hi_offset >= 0 ? std::optional{hi_offset} : std::nullopt;
    }
};

/// What librdkafka's statistics report, as far as the driver uses it.
struct ClientStatistics {
    /// Bytes received from the brokers; nothing when the statistics do not have it.
    std::optional<std::uint64_t> rx_bytes{};
    /// Whether the member has a coordinator and an assignment.
    bool joined = false;
    /// Every partition that the client knows of the topics that it reads, assigned or not.
    std::vector<PartitionStatistics> partitions{};
};

/// A member that is an object; null when it is missing, or has another type.
[[nodiscard]] inline const boost::json::object* object_member(const boost::json::object& in, std::string_view name) {
    const auto* const value = in.if_contains({name.data(), name.size()});
    return value == nullptr ? nullptr : value->if_object();
}
/// A member that is a text; empty when it is missing, or has another type.
[[nodiscard]] inline std::string_view text_member(const boost::json::object& in, std::string_view name) {
    const auto* const value = in.if_contains({name.data(), name.size()});
    const auto* const string = value == nullptr ? nullptr : value->if_string();
    return string == nullptr ? std::string_view{} : std::string_view{string->data(), string->size()};
}
/// A member that is a number of this type. Otherwise `out` keeps its value, and the result is false.
template <class Number>
bool number_member(const boost::json::object& in, std::string_view name, Number& out) {
    const auto* const value = in.if_contains({name.data(), name.size()});
    if (value == nullptr) return false;
    boost::system::error_code wrong;
    const auto read = value->to_number<Number>(wrong);
    if (!wrong) out = read;
    return !wrong;
}

/// Appends a topic's partitions, but for librdkafka's own (-1), which is of no partition.
inline void parse_partitions(std::string_view topic, const boost::json::object& partitions,
                             std::vector<PartitionStatistics>& out) {
    for (const auto& entry : partitions) {
        const auto* const p = entry.value().if_object();
        const auto key = entry.key();
        std::int32_t partition = -1;
        const auto [rest, wrong] = std::from_chars(key.data(), key.data() + key.size(), partition);
        if (p == nullptr || wrong != std::errc{} || rest != key.data() + key.size() || partition < 0) continue;
        auto& one = out.emplace_back();
        one.topic = topic;
        one.partition = partition;
        one.fetch_state = text_member(*p, "fetch_state");
        number_member(*p, "fetchq_cnt", one.fetchq_cnt);
        number_member(*p, "next_offset", one.next_offset);
        number_member(*p, "lo_offset", one.lo_offset);
        number_member(*p, "hi_offset", one.hi_offset);
        number_member(*p, "ls_offset", one.ls_offset);
    }
}

/// Parses librdkafka's statistics (STATISTICS.md there), a JSON object. Returns nothing when `json` is not an object.
/// A member that is missing, or has another type, keeps its initial value. Throws `std::bad_alloc` only.
[[nodiscard]] inline std::optional<ClientStatistics> parse_statistics(std::string_view json) {
    boost::json::monotonic_resource memory;
    boost::system::error_code failed;
    const auto root = boost::json::parse({json.data(), json.size()}, failed, &memory);
    if (failed || !root.is_object()) return std::nullopt;
    const auto& all = root.get_object();
    ClientStatistics statistics;
    std::uint64_t bytes = 0;
    if (number_member(all, "rx_bytes", bytes)) statistics.rx_bytes = bytes;
    if (const auto* const group = object_member(all, "cgrp"))
        statistics.joined = text_member(*group, "state") == "up" && text_member(*group, "join_state") == "steady";
    const auto* const topics = object_member(all, "topics");
    if (topics == nullptr) return statistics;
    for (const auto& topic : *topics) {
        const auto* const fields = topic.value().if_object();
        const auto* const partitions = fields == nullptr ? nullptr : object_member(*fields, "partitions");
        if (partitions != nullptr)
            parse_partitions({topic.key().data(), topic.key().size()}, *partitions, statistics.partitions);
    }
    return statistics;
}

} // namespace bulkhead::inline v1::kafka::detail
