// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/util/saturating_add.hpp>

#include <algorithm>
#include <chrono>

namespace bulkhead::inline v1::kafka::detail {

/// By when `close` has to return, and how that shortens other waits; never, until it is set. Pure.
class CloseDeadline {
public:
    using Clock = std::chrono::steady_clock;
    using milliseconds = std::chrono::milliseconds;

    /// `timeout`: how long `close` may take from now on; `max()` is without limit.
    void set(milliseconds timeout, Clock::time_point now) noexcept {
        at_ = bulkhead::detail::saturating_add<Clock>(now, timeout);
    }
    /// The time that is left, rounded up; 0 after the deadline.
    [[nodiscard]] milliseconds left(Clock::time_point now) const noexcept {
        return std::max(std::chrono::ceil<milliseconds>(at_ - now), milliseconds::zero());
    }
    /// A wait that may take `usual`, or what is left if that is less, but always `least`, if `usual` is not less.
    [[nodiscard]] milliseconds shorten(milliseconds usual, milliseconds least, Clock::time_point now) const noexcept {
        return std::min(usual, std::max(left(now), least));
    }

private:
    Clock::time_point at_ = Clock::time_point::max();
};

} // namespace bulkhead::inline v1::kafka::detail
