// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "kafka_probe.hpp"

#include <bulkhead/kafka/source.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace replay {

/// What the topics held at the start, and what of it the whole group, this member and others, has not replayed yet.
/// Pure: the caller brings what the source and the brokers say.
class Ends {
public:
    using Partitions = std::vector<bulkhead::PartitionState>; ///< those assigned to us, as the source sees them
    /// The lag of a partition of ours now; nothing when it is not known.
    using LagNow = std::function<std::optional<std::uint64_t>(const std::string& topic, std::int32_t partition)>;

    explicit Ends(const std::vector<PartitionEnd>& ends);

    /// Whether we have taken everything that was there at the start in the partitions of which we have taken anything.
    /// It need not be settled yet.
    [[nodiscard]] bool taken(const Partitions& ours) const;
    /// The partitions that are not done, `begin` to `end`. Ours are done when their offset is stored, which on a topic
    /// that goes on growing comes before everything taken is settled; the others when the group has committed it.
    [[nodiscard]] std::vector<PartitionEnd> left(const Partitions& ours) const;
    /// The group has committed this offset.
    void committed(const std::string& topic, std::int32_t partition, std::int64_t offset);
    /// From `offset` on there is nothing to be read below the end: transaction markers, aborted transactions, or what
    /// compaction or retention has taken away.
    void nothing_from(const std::string& topic, std::int32_t partition, std::int64_t offset);
    /// Records that are there and not taken, as far as known: in the partitions assigned to us; in all of them before
    /// there are any.
    [[nodiscard]] std::int64_t lag(const Partitions& ours, const LagNow& lag_now) const;

private:
    std::map<std::string, std::map<std::int32_t, PartitionEnd>> ends_; ///< `begin`: what the group has committed
};

} // namespace replay
