// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <chrono>

namespace bulkhead::inline v1::detail {

/// Later by so much, or never: `max()` of any duration means never. By less than nothing is now.
template <class Clock, class Duration>
[[nodiscard]] typename Clock::time_point saturating_add(typename Clock::time_point from, Duration more) noexcept {
    using Wide = std::chrono::duration<long double>;
    if (more <= Duration::zero()) return from;
    const auto left = Wide{Clock::time_point::max().time_since_epoch()} - Wide{from.time_since_epoch()};
    if (Wide{more} >= left) return Clock::time_point::max();
    return from + std::chrono::duration_cast<typename Clock::duration>(more);
}

} // namespace bulkhead::inline v1::detail
