// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <compare>
#include <limits>

namespace bulkhead_test {

/// A number as a time point, for parts that only compare times.
struct PlainTime {
    int at = 0;
    constexpr PlainTime() = default;
    constexpr PlainTime(int time) : at{time} {} // NOLINT: written as a number
    static constexpr PlainTime max() { return {std::numeric_limits<int>::max()}; }
    static constexpr PlainTime min() { return {std::numeric_limits<int>::min()}; }
    friend constexpr auto operator<=>(PlainTime, PlainTime) = default;
};

} // namespace bulkhead_test
