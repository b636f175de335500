// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>

/// Names a partition, a topic or the group: the key of the maps of progress and troubles.
namespace bulkhead::inline v1::kafka::detail {

/// No topic: the group. `partition` below 0: the topic.
struct PartitionKey {
    std::string topic;
    std::int32_t partition = 0;
};
/// To look a key up without a copy of the topic.
struct PartitionKeyView {
    std::string_view topic;
    std::int32_t partition = 0;
};
struct PartitionKeyLess {
    using is_transparent = void;
    template <class A, class B>
    bool operator()(const A& a, const B& b) const noexcept {
        const std::string_view left = a.topic;
        const std::string_view right = b.topic;
        return std::tie(left, a.partition) < std::tie(right, b.partition);
    }
};
/// For people.
[[nodiscard]] inline std::string name_of(std::string_view topic, std::int32_t partition) {
    if (topic.empty()) return "the consumer group";
    return std::string{topic} + (partition < 0 ? "" : "-" + std::to_string(partition));
}

} // namespace bulkhead::inline v1::kafka::detail
