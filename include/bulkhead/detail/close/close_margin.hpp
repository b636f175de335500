// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace bulkhead::inline v1::detail {

/// How long before its deadline a close gives up, of so much `time` in all: long enough to settle what is pending, one
/// operation after the other, and for observers on other executors to be called.
[[nodiscard]] constexpr std::chrono::nanoseconds close_margin(std::chrono::nanoseconds time,
                                                              std::uint64_t pending) noexcept {
    constexpr std::chrono::nanoseconds most_for_observers = std::chrono::milliseconds{100};
    constexpr std::int64_t each = 1000; // nanoseconds, several times what it takes
    if (time <= std::chrono::nanoseconds::zero()) return std::chrono::nanoseconds::zero();
    const auto most = static_cast<std::uint64_t>((time / 2).count());
    const std::chrono::nanoseconds settling{pending >= most / each ? static_cast<std::int64_t>(most)
                                                                   : static_cast<std::int64_t>(pending) * each};
    return std::min(time / 2, std::min(most_for_observers, time / 10) + settling);
}

} // namespace bulkhead::inline v1::detail
