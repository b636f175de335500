// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bulkhead::inline v1::kafka {

/// Something that the client reports. Views are valid only while `on_event` runs.
struct ClientEvent {
    /// What happened.
    enum class Kind : std::uint8_t {
        log,      ///< a line of librdkafka's log; `level` is syslog's, 3 and below are errors
        error,    ///< librdkafka recovers by itself: a broker is down, a topic is unknown, …
        fatal,    ///< it does not recover: the driver stops
        assigned, ///< the group gave us `partitions` partitions
        revoked,  ///< it took them back
        lost,     ///< they are gone without notice; what was not committed will be delivered again
        /// Stored offsets were not committed this time; they stay stored and go with the next commit. `level` 4: the
        /// coordinator, or the way to it; 3: refused, e.g. for want of a permission.
        commit_failed,
        /// A partition stands still although there is something to read, or may be, for `DriverOptions::stall_after`;
        /// or an error of a partition, a topic or the group lasts as long. `level` 3. Repeated every `stall_after`
        /// until `trouble_over`.
        trouble,
        /// The trouble of this `topic` and `partition` is over, or the partition is given back: `text` states which.
        trouble_over,
        /// Records of a partition were gone from the log before they were read: retention took them, or a reset to the
        /// end of the log passed them. `level` 3; `text` has their number.
        records_lost,
    };
    /// What happened.
    Kind kind{};
    /// Syslog's, for `log` and whatever is a failure: 3 and below are errors.
    int level = 6;
    /// librdkafka's, where there is one.
    error_code error{};
    /// For people.
    std::string_view text{};
    /// How many partitions, for `assigned`, `revoked` and `lost`.
    std::size_t partitions = 0;
    /// Of `error`, `trouble`, `trouble_over` and `records_lost`, where they are about one; empty otherwise.
    std::string_view topic{};
    /// The same; below 0 when they are about the topic, or the group.
    std::int32_t partition = -1;
};

} // namespace bulkhead::inline v1::kafka
