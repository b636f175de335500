// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/rdkafka/detail/client/partition_list.hpp>
#include <bulkhead/kafka/rdkafka/handles.hpp>

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <string_view>
#include <utility>

namespace bulkhead::inline v1::kafka::detail {

/// Records that the client has handed out and the source has not taken, in order.
class HeldRecords {
public:
    [[nodiscard]] bool empty() const noexcept { return messages_.empty(); }
    void push(MessagePtr message) { messages_.push_back(std::move(message)); }
    [[nodiscard]] const rd_kafka_message_t& front() const noexcept { return *messages_.front(); }
    void pop() noexcept { messages_.pop_front(); }
    /// They were never taken, so that the group delivers them again.
    void clear() noexcept { messages_.clear(); }
    /// Whether a record of this partition is held.
    [[nodiscard]] bool holds(std::string_view topic, std::int32_t partition) const noexcept {
        return std::any_of(messages_.begin(), messages_.end(), [&](const auto& message) {
            return message->partition == partition && topic == rd_kafka_topic_name(message->rkt);
        });
    }
    /// Drops the records of partitions that are gone.
    void drop(const rd_kafka_topic_partition_list_t& partitions) noexcept {
        const auto gone = [&](const MessagePtr& message) {
            return contains(partitions, rd_kafka_topic_name(message->rkt), message->partition);
        };
        messages_.erase(std::remove_if(messages_.begin(), messages_.end(), gone), messages_.end());
    }

private:
    std::deque<MessagePtr> messages_;
};

} // namespace bulkhead::inline v1::kafka::detail
