// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <librdkafka/rdkafka.h>

namespace replay {

/// What a partition held before the replay.
struct PartitionEnd {
    std::string topic;
    std::int32_t partition = 0;
    std::int64_t first = 0; ///< the first offset there is
    std::int64_t begin = 0; ///< where the group will begin: its committed offset, or the first one there is
    std::int64_t end = 0;   ///< the offset after the last one
    /// What the group had committed, when that was beyond the end (the topic was made anew): it says nothing of
    /// `begin`.
    std::int64_t stale = -1;
    bool operator==(const PartitionEnd&) const = default;
};

/// Asks the brokers for these topics before anything starts. Throws `Failure` with one line: no broker can be reached,
/// or a topic does not exist. Throws `UsageError` when librdkafka does not take a setting.
[[nodiscard]] std::vector<PartitionEnd> probe_topics(const std::string& brokers, const std::string& group,
                                                     const std::vector<std::string>& topics,
                                                     const std::vector<std::pair<std::string, std::string>>& settings,
                                                     std::chrono::milliseconds timeout);

struct CommittedOffset {
    std::string topic;
    std::int32_t partition = 0;
    std::int64_t offset = 0;
};
/// What the group of this client has committed for these partitions; nothing for those without, or when the brokers do
/// not answer in time.
[[nodiscard]] std::vector<CommittedOffset>
committed_offsets(rd_kafka_t* client, const std::vector<PartitionEnd>& partitions, std::chrono::milliseconds timeout);
/// The same, by a client of its own.
[[nodiscard]] std::vector<CommittedOffset>
committed_offsets(const std::string& brokers, const std::string& group, const std::vector<PartitionEnd>& partitions,
                  const std::vector<std::pair<std::string, std::string>>& settings, std::chrono::milliseconds timeout);

/// Those of the partitions in which no record can be read from `begin` on and below `end`. A reader of its own asks,
/// which joins no group; a partition about which the brokers do not answer in time is not among them.
[[nodiscard]] std::vector<PartitionEnd>
without_records(const std::string& brokers, const std::string& group, const std::vector<PartitionEnd>& partitions,
                const std::vector<std::pair<std::string, std::string>>& settings, std::chrono::milliseconds timeout);

/// Where a replay begins.
struct Start {
    enum class Kind : unsigned char { stored, beginning, end, timestamp };
    Kind kind = Kind::stored;
    std::int64_t timestamp_ms = 0;
};

/// Lets each partition `begin` where `start` says; as it is for `stored`. Commits nothing. Throws `Failure` when the
/// brokers do not answer for every partition.
void start_at(const std::string& brokers, const std::string& group, std::vector<PartitionEnd>& ends, const Start& start,
              const std::vector<std::pair<std::string, std::string>>& settings, std::chrono::milliseconds timeout);

/// Commits for the group that it is to go on where the partitions `begin`. The brokers take this only while the group
/// has no members: `Failure` otherwise.
void move_group(const std::string& brokers, const std::string& group, const std::vector<PartitionEnd>& ends,
                const std::vector<std::pair<std::string, std::string>>& settings, std::chrono::milliseconds timeout);

} // namespace replay
