// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/rdkafka/handles.hpp>
#include <bulkhead/kafka/record.hpp>

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// librdkafka's list of partitions as a range.
namespace bulkhead::inline v1::kafka::detail {

[[nodiscard]] inline std::span<const rd_kafka_topic_partition_t>
span_of(const rd_kafka_topic_partition_list_t& list) noexcept {
    return {list.elems, static_cast<std::size_t>(list.cnt)};
}
/// Views into the list.
[[nodiscard]] inline std::vector<TopicPartition> names_of(const rd_kafka_topic_partition_list_t& list) {
    std::vector<TopicPartition> names;
    for (const auto& p : span_of(list)) names.push_back({p.topic, p.partition});
    return names;
}
[[nodiscard]] inline bool contains(const rd_kafka_topic_partition_list_t& list, std::string_view topic,
                                   std::int32_t partition) noexcept {
    const auto all = span_of(list);
    return std::any_of(all.begin(), all.end(),
                       [&](const auto& p) { return p.partition == partition && topic == p.topic; });
}
/// A list of one partition.
[[nodiscard]] inline ListPtr list_of(std::string_view topic, std::int32_t partition) {
    ListPtr list{rd_kafka_topic_partition_list_new(1)};
    rd_kafka_topic_partition_list_add(list.get(), std::string{topic}.c_str(), partition);
    return list;
}
/// The error of a call about the list's only partition. `whole`: what the call itself returned.
[[nodiscard]] inline error_code error_of(rd_kafka_resp_err_t whole,
                                         const rd_kafka_topic_partition_list_t& list) noexcept {
    return make_error(whole != RD_KAFKA_RESP_ERR_NO_ERROR ? whole : list.elems[0].err);
}

} // namespace bulkhead::inline v1::kafka::detail
