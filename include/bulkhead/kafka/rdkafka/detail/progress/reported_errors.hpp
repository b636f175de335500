// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::inline v1::kafka::detail {

/// Remembers errors that librdkafka reports only once, until they are over: a topic that may not be read or does not
/// exist, an offset that is gone under `auto.offset.reset=error`, a group that cannot be joined. Pure; not thread-safe.
class ReportedErrors {
public:
    /// Of the steady clock.
    using time_point = std::chrono::steady_clock::time_point;

    /// One error that is not over.
    struct Error {
        /// The topic; empty: the group's.
        std::string topic{};
        /// The partition; below 0: the topic's, or the group's.
        std::int32_t partition = -1;
        /// librdkafka's.
        error_code error{};
        /// For people.
        std::string text{};
        /// When it was reported first.
        time_point since{};
        /// The position of the partition in the first statistics after the report.
        std::optional<std::int64_t> position{};
        /// Statistics since then that show no sign of it.
        int good = 0;
    };

    /// The client reports an error of a partition, of a topic (`partition` below 0) or of the group (no topic either).
    /// A later one of the same place replaces the earlier one, but for `since`.
    void reported(std::string_view topic, std::int32_t partition, error_code error, std::string_view text,
                  time_point now) {
        const auto same = [&](const Error& one) { return one.topic == topic && one.partition == partition; };
        auto known = std::find_if(errors_.begin(), errors_.end(), same);
        if (known == errors_.end()) {
            if (errors_.size() >= most) return;
            known = errors_.insert(errors_.end(), Error{});
            known->since = now;
        }
        auto& one = *known;
        one.topic = topic;
        one.partition = partition;
        one.error = error;
        one.text = text;
        one.position.reset();
        one.good = 0;
    }
    /// The group assigned this partition, or took it back: what was reported of it and of its topic is over.
    void assignment_changed(std::string_view topic, std::int32_t partition) noexcept {
        std::erase_if(errors_, [&](const Error& one) {
            return one.topic == topic && (one.partition < 0 || one.partition == partition);
        });
    }
    /// The member has an assignment.
    void joined() noexcept {
        std::erase_if(errors_, [](const Error& one) { return one.topic.empty(); });
    }
    /// A record of this partition was taken.
    void taken(std::string_view topic, std::int32_t partition) noexcept { assignment_changed(topic, partition); }
    /// Statistics of an assigned partition. `at_end`: the client has read to the end that the brokers report.
    void seen(std::string_view topic, std::int32_t partition, std::int64_t position, bool at_end) noexcept {
        std::erase_if(errors_, [&](Error& one) {
            if (one.topic != topic || one.partition != partition) return false;
            one.good = at_end ? one.good + 1 : 0;
            if (!one.position) one.position = position;
            return (position >= 0 && position != one.position) || one.good >= proof;
        });
    }
    /// Statistics of the group. `joined`: the member has a coordinator and an assignment.
    void group_seen(bool joined) noexcept {
        std::erase_if(errors_, [&](Error& one) {
            if (!one.topic.empty()) return false;
            one.good = joined ? one.good + 1 : 0;
            return one.good >= proof;
        });
    }
    /// Those that are not over.
    [[nodiscard]] const std::vector<Error>& all() const noexcept { return errors_; }
    /// Whether there is none.
    [[nodiscard]] bool empty() const noexcept { return errors_.empty(); }

private:
    static constexpr int proof = 2;           ///< the first statistics may be older than the error
    static constexpr std::size_t most = 1000; ///< so that a cluster that refuses everything costs no memory without end
    std::vector<Error> errors_;
};

} // namespace bulkhead::inline v1::kafka::detail
