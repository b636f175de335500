// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace replay {

/// How long something took, many times: a histogram whose buckets grow with the value, at most 1/32 wide, so that
/// recording costs a few instructions and percentiles are right to about 3 percent. Not thread-safe.
class Latencies {
public:
    void record(std::uint64_t nanoseconds) noexcept {
        ++buckets_[bucket_of(nanoseconds)];
        ++count_;
        max_ = std::max(max_, nanoseconds);
    }
    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
    [[nodiscard]] std::uint64_t max() const noexcept { return max_; }
    /// The value that the share `quantile` (0 to 1) of all does not exceed; 0 when there is none.
    [[nodiscard]] std::uint64_t quantile(double quantile) const noexcept {
        const auto wanted = static_cast<std::uint64_t>(std::ceil(quantile * static_cast<double>(count_)));
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < buckets_.size(); ++i) {
            seen += buckets_[i];
            if (seen >= wanted && seen > 0) return std::min(highest_in(i), max_);
        }
        return max_;
    }

private:
    static constexpr unsigned sub_bits = 5;
    static constexpr std::uint64_t subs = 1U << sub_bits;
    static std::size_t bucket_of(std::uint64_t value) noexcept {
        if (value < subs) return static_cast<std::size_t>(value);
        const auto shift = static_cast<unsigned>(std::bit_width(value)) - sub_bits - 1;
        return static_cast<std::size_t>((shift + 1) * subs + ((value >> shift) - subs));
    }
    static std::uint64_t highest_in(std::size_t bucket) noexcept {
        if (bucket < subs) return bucket;
        const auto shift = bucket / subs - 1;
        return ((subs + bucket % subs + 1) << shift) - 1;
    }
    std::array<std::uint64_t, (64 - sub_bits + 1) * subs> buckets_{};
    std::uint64_t count_ = 0;
    std::uint64_t max_ = 0;
};

} // namespace replay
