// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace bulkhead::inline v1::kafka::detail {

/// Lets so many through in a second, in bursts of at most a tenth of it (and at least two). Pure; not thread-safe.
class TokenBucket {
public:
    /// Of the steady clock.
    using time_point = std::chrono::steady_clock::time_point;

    /// `a_second`: 0 is without limit.
    explicit TokenBucket(std::uint32_t a_second) noexcept : rate_{a_second}, left_{burst()} {}

    /// How many may pass now.
    [[nodiscard]] std::size_t available(time_point now) noexcept {
        if (rate_ == 0) return SIZE_MAX;
        if (then_ == time_point{}) then_ = now;
        const std::chrono::duration<double> passed = now - then_;
        then_ = now;
        left_ = std::min(left_ + passed.count() * rate_, burst());
        return static_cast<std::size_t>(left_);
    }
    /// One has passed.
    void take() noexcept {
        if (rate_ != 0) left_ -= 1;
    }
    /// How long until the next one may.
    [[nodiscard]] std::chrono::nanoseconds wait() const noexcept {
        if (rate_ == 0 || left_ >= 1) return std::chrono::nanoseconds::zero();
        return std::chrono::ceil<std::chrono::nanoseconds>(std::chrono::duration<double>{(1 - left_) / rate_});
    }

private:
    [[nodiscard]] double burst() const noexcept { return std::max(2.0, rate_ / 10.0); }
    std::uint32_t rate_;
    double left_;
    time_point then_{};
};

} // namespace bulkhead::inline v1::kafka::detail
