// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace bulkhead::inline v1 {

/// How long something took, many times. Buckets grow with the value, `2^SubBits` of them to each doubling, so that
/// recording costs a few instructions and a quantile is right to about one part in `2^SubBits`; from about 4 hours on,
/// everything is one bucket. Counts only grow. Not thread-safe.
template <unsigned SubBits>
class BasicHistogram {
public:
    /// What is recorded.
    using Duration = std::chrono::nanoseconds;

    /// It took so long, `times` times. Negative counts as zero.
    void record(Duration took, std::uint64_t times = 1) noexcept {
        const auto value = static_cast<std::uint64_t>(std::max(took, Duration::zero()).count());
        buckets_[bucket_of(value)] += times;
        count_ += times;
        sum_ += static_cast<double>(value) * static_cast<double>(times);
        if (times != 0) max_ = std::max(max_, value);
    }
    /// How many were recorded.
    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
    /// All of them together: what many waited in a long outage is more than `Duration` can hold.
    [[nodiscard]] std::chrono::duration<double> sum() const noexcept {
        return std::chrono::duration<double>{sum_ / 1e9};
    }
    /// The longest.
    [[nodiscard]] Duration max() const noexcept { return Duration{max_}; }
    /// What the share `quantile` (0 to 1) of all does not exceed; zero when there is none.
    [[nodiscard]] Duration quantile(double quantile) const noexcept {
        const auto wanted = static_cast<std::uint64_t>(std::ceil(quantile * static_cast<double>(count_)));
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i + 1 < buckets_.size(); ++i) {
            seen += buckets_[i];
            if (seen >= wanted && seen > 0) return Duration{std::min(end_of(i) - 1, max_)};
        }
        return max();
    }
    /// How many took less than `2^exponent` nanoseconds; exact. `exponent` is from `SubBits` to `most_bits`.
    [[nodiscard]] std::uint64_t count_below(unsigned exponent) const noexcept {
        const auto end = bucket_of(std::uint64_t{1} << exponent);
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < end; ++i) sum += buckets_[i];
        return sum;
    }
    /// `2^most_bits` nanoseconds and more are one bucket.
    static constexpr unsigned most_bits = 44;

private:
    static constexpr std::uint64_t subs = std::uint64_t{1} << SubBits;
    static constexpr std::size_t bucket_of(std::uint64_t value) noexcept {
        if (value < subs) return value;
        if (value >> most_bits != 0) return buckets - 1;
        const auto shift = static_cast<unsigned>(std::bit_width(value)) - SubBits - 1;
        return (shift + 1) * subs + ((value >> shift) - subs);
    }
    static constexpr std::uint64_t end_of(std::size_t bucket) noexcept {
        if (bucket < subs) return bucket + 1;
        return (subs + bucket % subs + 1) << (bucket / subs - 1);
    }
    static constexpr std::size_t buckets = (most_bits - SubBits + 1) * subs + 1;
    std::array<std::uint64_t, buckets> buckets_{};
    std::uint64_t count_ = 0;
    double sum_ = 0; ///< nanoseconds
    std::uint64_t max_ = 0;
};

/// As `Stats` has them: four buckets to each doubling, 1.4 KiB.
using Histogram = BasicHistogram<2>;

} // namespace bulkhead::inline v1
