// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "kafka_probe.hpp"
#include "summary.hpp"

#include <bulkhead/kafka/driver_stats.hpp>
#include <bulkhead/kafka/source_options.hpp>
#include <bulkhead/stats.hpp>

#include <string>
#include <vector>

namespace replay {

/// All that is known at the end of a run, for a script.
struct Report {
    Summary summary;
    std::vector<PartitionEnd> topics;                 ///< where each partition began, and its end at the start
    std::vector<CommittedOffset> committed;           ///< by the group, after the run
    std::vector<bulkhead::PartitionState> partitions; ///< ours, as they stood before they were given back
    std::vector<bulkhead::FailureSample> failures;
    std::uint64_t dead_letters = 0;                   ///< records that the policies sent to the dead-letter topic
    std::vector<bulkhead::kafka::PartitionLoss> lost; ///< records that were gone before they were read
    std::uint64_t rebalances = 0;
    std::uint64_t full = 0; ///< how often the buffer was found full
    std::int64_t longest_poll_gap_ms = 0;
    double seconds_paused = 0; ///< with at least one partition paused
    std::uint64_t peak_rss_bytes = 0;
    std::string stop_reason; ///< `none` when it was not stopped by a policy
    std::string fault;       ///< empty: everything is accounted for; otherwise what is missing, or what went wrong
    bool interrupted = false;
    int exit_status = 0;
};

/// JSON, with a newline at the end.
[[nodiscard]] std::string to_json(const Report& report);

/// Replaces the file as a whole: never is there half a report. What is there and no regular file (a device, a pipe, a
/// symbolic link) is written, not replaced. Throws `Failure`.
void write_file(const std::string& path, const std::string& text);

/// Whether `write_file` will be able to, as far as can be tried without changing what is there. Throws `Failure`.
void check_writable(const std::string& path);

/// What this process has held at most; 0 where the system does not say.
[[nodiscard]] std::uint64_t peak_rss_bytes();

} // namespace replay
