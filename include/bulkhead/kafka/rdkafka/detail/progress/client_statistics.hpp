// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
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

/// Parses librdkafka's statistics (STATISTICS.md there), a JSON object. Returns nothing when `json` is not an object.
/// A member that is missing, or has another type, keeps its initial value. Throws `std::bad_alloc` only.
[[nodiscard]] inline std::optional<ClientStatistics> parse_statistics(std::string_view json) {
    namespace bj = boost::json;
    bj::monotonic_resource memory;
    boost::system::error_code failed;
    const auto root = bj::parse({json.data(), json.size()}, failed, &memory);
    if (failed || !root.is_object()) return std::nullopt;
    const auto object = [](const bj::object& in, std::string_view name) -> const bj::object* {
        const auto* const value = in.if_contains({name.data(), name.size()});
        return value == nullptr ? nullptr : value->if_object();
    };
    const auto number = [](const bj::object& in, std::string_view name, auto& out) {
        const auto* const value = in.if_contains({name.data(), name.size()});
        if (value == nullptr) return false;
        boost::system::error_code wrong;
        const auto read = value->to_number<std::decay_t<decltype(out)>>(wrong);
        if (!wrong) out = read;
        return !wrong;
    };
    const auto text = [](const bj::object& in, std::string_view name) -> std::string_view {
        const auto* const value = in.if_contains({name.data(), name.size()});
        const auto* const string = value == nullptr ? nullptr : value->if_string();
        return string == nullptr ? std::string_view{} : std::string_view{string->data(), string->size()};
    };
    const auto& all = root.get_object();
    ClientStatistics statistics;
    std::uint64_t bytes = 0;
    if (number(all, "rx_bytes", bytes)) statistics.rx_bytes = bytes;
    if (const auto* const group = object(all, "cgrp"))
        statistics.joined = text(*group, "state") == "up" && text(*group, "join_state") == "steady";
    const auto* const topics = object(all, "topics");
    if (topics == nullptr) return statistics;
    for (const auto& topic : *topics) {
        const auto* const fields = topic.value().if_object();
        const auto* const partitions = fields == nullptr ? nullptr : object(*fields, "partitions");
        if (partitions == nullptr) continue;
        for (const auto& entry : *partitions) {
            const auto* const p = entry.value().if_object();
            const auto key = entry.key();
            std::int32_t partition = -1; // librdkafka's own, of no partition
            const auto [rest, wrong] = std::from_chars(key.data(), key.data() + key.size(), partition);
            if (p == nullptr || wrong != std::errc{} || rest != key.data() + key.size() || partition < 0) continue;
            auto& one = statistics.partitions.emplace_back();
            one.topic.assign(topic.key().data(), topic.key().size());
            one.partition = partition;
            one.fetch_state = text(*p, "fetch_state");
            number(*p, "fetchq_cnt", one.fetchq_cnt);
            number(*p, "next_offset", one.next_offset);
            number(*p, "lo_offset", one.lo_offset);
            number(*p, "hi_offset", one.hi_offset);
            number(*p, "ls_offset", one.ls_offset);
        }
    }
    return statistics;
}

} // namespace bulkhead::inline v1::kafka::detail
