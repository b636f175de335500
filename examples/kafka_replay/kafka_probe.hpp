// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace replay {

/// What a partition held before the replay.
struct PartitionEnd {
    std::string topic;
    std::int32_t partition = 0;
    std::int64_t first = 0; ///< the first offset there is
    std::int64_t begin = 0; ///< where the group will begin: its committed offset, or the first one there is
    std::int64_t end = 0;   ///< the offset after the last one
};

/// Asks the brokers for these topics before anything starts. Throws `Failure` with one line: no broker can be reached,
/// or a topic does not exist. Throws `UsageError` when librdkafka does not take a setting.
[[nodiscard]] std::vector<PartitionEnd> probe_topics(const std::string& brokers, const std::string& group,
                                                     const std::vector<std::string>& topics,
                                                     const std::vector<std::pair<std::string, std::string>>& settings,
                                                     std::chrono::milliseconds timeout);

/// Where a replay begins.
struct Start {
    enum class Kind : unsigned char { stored, beginning, end, timestamp };
    Kind kind = Kind::stored;
    std::int64_t timestamp_ms = 0;
};

/// Commits for the group where it is to begin, and says so in `ends`; nothing for `stored`. The brokers take this only
/// while the group has no members: `Failure` otherwise.
void move_group(const std::string& brokers, const std::string& group, std::vector<PartitionEnd>& ends,
                const Start& start, const std::vector<std::pair<std::string, std::string>>& settings,
                std::chrono::milliseconds timeout);

} // namespace replay
