// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/stats.hpp>

#include <cstddef>
#include <cstdint>

namespace bulkhead::inline v1::detail {

/// How many requests may be in flight: all of them while the endpoint works; after it has failed as a whole nobody
/// until a pause has passed, then a single probe. Pure: the caller brings the time and draws the pause.
///
/// A *generation* is the time between two failures. Requests that were launched together and fail together count as one
/// failure, so that the pause grows by outages and not by requests.
template <class TimePoint>
class Concurrency {
public:
    explicit Concurrency(std::size_t max_in_flight) noexcept : max_in_flight_{max_in_flight} {}

    [[nodiscard]] bool may_launch(TimePoint now, std::size_t in_flight) const noexcept {
        if (in_flight >= max_in_flight_) return false;
        return failures_ == 0 || (now >= resume_at_ && !probing_);
    }
    /// When to look again if `may_launch` said no because of a pause; `TimePoint::max()` when a landing must come
    /// first.
    [[nodiscard]] TimePoint resume_at(std::size_t in_flight) const noexcept {
        if (failures_ == 0 || probing_ || in_flight >= max_in_flight_) return TimePoint::max();
        return resume_at_;
    }
    /// A request starts; returns the generation that it belongs to.
    [[nodiscard]] std::uint64_t launched() noexcept {
        probing_ = failures_ != 0;
        return generation_;
    }
    /// Whether a failure of this generation is news, and should be answered with `failed`.
    [[nodiscard]] bool is_news(std::uint64_t generation) const noexcept { return generation == generation_; }
    /// Failures in a row, to draw the next pause from.
    [[nodiscard]] std::uint32_t failures() const noexcept { return failures_; }
    void failed(TimePoint resume_at, Health health) noexcept {
        ++generation_;
        failures_ += failures_ < 0xffffffffU ? 1U : 0U;
        probing_ = false;
        resume_at_ = resume_at;
        health_ = health;
    }
    /// The endpoint has answered as an endpoint should. An answer from before the last failure proves nothing.
    void succeeded(std::uint64_t generation) noexcept {
        if (generation != generation_) return;
        failures_ = 0;
        probing_ = false;
        health_ = Health::ok;
    }
    [[nodiscard]] Health health() const noexcept { return health_; }

private:
    std::size_t max_in_flight_;
    std::uint64_t generation_ = 0;
    std::uint32_t failures_ = 0;
    bool probing_ = false;
    TimePoint resume_at_{};
    Health health_ = Health::ok;
};

} // namespace bulkhead::inline v1::detail
