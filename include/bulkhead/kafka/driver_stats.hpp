// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka_options.hpp>

#include <chrono>
#include <cstdint>

namespace bulkhead::inline v1::kafka {

/// A snapshot of what the driver did.
struct DriverStats {
    /// Of the `KafkaSource`.
    SourceStats source;
    std::uint64_t lag = 0; ///< records not yet taken, as far as known: of partitions that have delivered one
    /// How often partitions were assigned, revoked or lost.
    std::uint64_t rebalances = 0;
    /// Errors that the client reported, and from which it recovers.
    std::uint64_t client_errors = 0;
    std::uint64_t commit_errors = 0; ///< stored offsets were not committed, and are committed later
    std::uint64_t commits_stale = 0; ///< the group had moved on: their new owner reads them again
    /// Bytes that the client has received from the brokers, as far as its latest statistics say; 0 without
    /// `statistics.interval.ms` in `DriverOptions::config`.
    std::uint64_t bytes_received = 0;
    std::chrono::milliseconds max_poll_gap{0}; ///< the longest time that the client was not polled
};

} // namespace bulkhead::inline v1::kafka
