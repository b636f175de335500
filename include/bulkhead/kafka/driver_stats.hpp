// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>
#include <bulkhead/kafka/source_stats.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bulkhead::inline v1::kafka {

/// A partition that stands still, or an error that is not over.
struct ClientTrouble {
    /// The topic; empty: the group's.
    std::string topic{};
    /// The partition; below 0: the topic's, or the group's.
    std::int32_t partition = -1;
    /// The partition stands still although there is something to read, or may be. Otherwise only an error.
    bool stalled = false;
    /// librdkafka's, where there is one.
    error_code error{};
    /// One line for people, which names topic and partition.
    std::string text{};
    /// How long it has lasted.
    std::chrono::milliseconds lasted{0};
};

/// Records of one partition that were gone from the log before they were read.
struct PartitionLoss {
    /// The topic.
    std::string topic{};
    /// The partition.
    std::int32_t partition = 0;
    /// How many, counted in offsets.
    std::uint64_t records = 0;
};

/// Where an assigned partition stands. See `Driver::standings`.
struct PartitionStanding {
    /// The topic.
    std::string topic{};
    /// The partition.
    std::int32_t partition = 0;
    /// Every record before this offset is taken; or there is nothing to take, but transaction markers and what
    /// compaction or retention removed.
    std::int64_t reached = 0;
    /// The offset after the last one that may be read; nothing while it was never known.
    std::optional<std::int64_t> end{};
    /// Records that may be read and are not taken, counted in offsets; nothing while the end was never known.
    std::optional<std::uint64_t> lag{};
    /// How long it has stood still although there is something to read, or may be; nothing while it does not.
    std::optional<std::chrono::milliseconds> stalled{};
    /// Records that were gone before they were read, in this assignment.
    std::uint64_t lost = 0;
};

/// A snapshot of what the driver did.
struct DriverStats {
    /// Of the `KafkaSource`.
    SourceStats source;
    /// Records of the assigned partitions that may be read and are not taken yet, counted in offsets. 0 when everything
    /// is read, also where transaction markers or compacted records are last. At most `stall_after` old.
    std::uint64_t lag = 0;
    /// Assigned partitions whose end was never known: `lag` does not count them.
    std::uint64_t ends_unknown = 0;
    /// Assigned partitions that stand still although there is something to read, or may be, for
    /// `DriverOptions::stall_after`.
    std::uint64_t stalled_partitions = 0;
    /// Errors of partitions, topics and the group that librdkafka reported once, and that are not over.
    std::uint64_t lasting_errors = 0;
    /// What `stalled_partitions` and `lasting_errors` count, one by one.
    std::vector<ClientTrouble> troubles{};
    /// Records that retention took before they were read, counted in offsets.
    std::uint64_t lost_records = 0;
    /// What `lost_records` counts, by partition; partitions that were given back included.
    std::vector<PartitionLoss> lost{};
    /// How often the group gave this member its partitions, be they none: one at least for each rebalance.
    std::uint64_t rebalances = 0;
    /// Errors that the client reported, and from which it recovers.
    std::uint64_t client_errors = 0;
    std::uint64_t commit_errors = 0; ///< stored offsets were not committed, and are committed later
    std::uint64_t commits_stale = 0; ///< the group had moved on: their new owner reads them again
    /// Bytes that the client has received from the brokers, as its latest statistics report.
    std::uint64_t bytes_received = 0;
    std::chrono::milliseconds max_poll_gap{0}; ///< the longest time that the client was not polled
};

/// What `Driver::close` reports.
struct DriverReport {
    /// The final counters.
    DriverStats stats;
    /// Everything handed over was settled by the deadline.
    bool drained = false;
    /// What was stored is committed, as far as the coordinator confirmed it in time.
    bool committed = false;
};

} // namespace bulkhead::inline v1::kafka
