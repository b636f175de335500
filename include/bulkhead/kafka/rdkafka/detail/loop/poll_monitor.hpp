// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <chrono>

namespace bulkhead::inline v1::kafka::detail {

/// Knows when the loop polled last: the longest gap, whether a snapshot of the statistics is due, and whether the
/// client has to be polled although the source takes nothing. Pure; not thread-safe.
class PollMonitor {
public:
    using time_point = std::chrono::steady_clock::time_point;
    /// The age that a snapshot reaches while the loop polls.
    static constexpr std::chrono::milliseconds snapshot_interval{100};
    /// The client is polled so often while the source takes nothing: enough to stay in the group.
    static constexpr std::chrono::seconds full_interval{1};

    /// The loop polls now.
    void polled(time_point now) noexcept {
        if (last_ != time_point{})
            max_gap_ = std::max(max_gap_, std::chrono::ceil<std::chrono::milliseconds>(now - last_));
        last_ = now;
    }
    [[nodiscard]] time_point last() const noexcept { return last_; }
    /// The longest time between two polls, rounded up.
    [[nodiscard]] std::chrono::milliseconds max_gap() const noexcept { return max_gap_; }
    /// Whether a snapshot is to be taken at this poll; if so, the next is due an interval later.
    [[nodiscard]] bool take_snapshot(bool at_once) noexcept {
        if (!at_once && last_ < snapshot_ + snapshot_interval) return false;
        snapshot_ = last_;
        return true;
    }
    /// Whether to poll the client although the source takes nothing. `held`: such a poll costs a record that has to be
    /// held, so it waits for its interval. Without, what comes are callbacks, and perhaps what was on its way.
    [[nodiscard]] bool poll_while_full(bool held, time_point now) noexcept {
        if (held && now - full_ < full_interval) return false;
        full_ = now;
        return true;
    }

private:
    time_point last_{};
    time_point snapshot_{};
    time_point full_{};
    std::chrono::milliseconds max_gap_{0};
};

} // namespace bulkhead::inline v1::kafka::detail
