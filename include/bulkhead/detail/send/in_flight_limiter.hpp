// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/stats.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace bulkhead::inline v1::detail {

/// How many requests may be in flight. Pure: the caller brings the time and draws the pause.
///
/// The limit adapts as TCP's congestion window does (RFC 5681: additive increase, multiplicative decrease): it is
/// halved when the endpoint pushes back or does not answer, and grows by one for each round of answers without trouble,
/// between the minimum and the maximum, where it begins. After the endpoint has failed *as a whole* nobody may travel
/// until a pause has passed, then a single probe.
///
/// A *generation* is the time between two signs of trouble. Requests that were launched together and fail together
/// count as one, so that limit and pause follow the trouble and not the number of requests that met it.
template <class TimePoint>
class Concurrency {
public:
    explicit Concurrency(std::size_t max_in_flight, std::size_t min_in_flight = 1) noexcept
        : min_{static_cast<double>(min_in_flight)}, max_{static_cast<double>(max_in_flight)}, limit_{max_} {}

    /// Other bounds from now on; a limit that was at its maximum stays there.
    void bound(std::size_t min_in_flight, std::size_t max_in_flight) noexcept {
        const bool at_most = limit_ >= max_;
        min_ = static_cast<double>(min_in_flight);
        max_ = static_cast<double>(max_in_flight);
        limit_ = at_most ? max_ : std::clamp(limit_, min_, max_);
    }
    /// How many may be in flight now: the minimum to the maximum.
    [[nodiscard]] std::size_t limit() const noexcept { return static_cast<std::size_t>(limit_); }

    [[nodiscard]] bool may_launch(TimePoint now, std::size_t in_flight) const noexcept {
        if (in_flight >= limit()) return false;
        return failures_ == 0 || (now >= resume_at_ && !probing_);
    }
    /// When to look again if `may_launch` said no because of a pause; `TimePoint::max()` when a landing must come
    /// first.
    [[nodiscard]] TimePoint resume_at(std::size_t in_flight) const noexcept {
        if (failures_ == 0 || probing_ || in_flight >= limit()) return TimePoint::max();
        return resume_at_;
    }
    /// A request starts; returns the generation that it belongs to.
    [[nodiscard]] std::uint64_t launched() noexcept {
        probing_ = failures_ != 0;
        return generation_;
    }
    /// A request that was to start did not.
    void not_launched() noexcept { probing_ = false; }
    /// Whether a failure of this generation is news, and should be answered with `failed`.
    [[nodiscard]] bool is_news(std::uint64_t generation) const noexcept { return generation == generation_; }
    /// Failures in a row, to draw the next pause from.
    [[nodiscard]] std::uint32_t failures() const noexcept { return failures_; }
    /// The endpoint failed as a whole. `overload`: fewer requests at once may cure it, so the limit shrinks.
    void failed(TimePoint resume_at, Health health, bool overload = true) noexcept {
        if (overload) shrink();
        if (!overload) ++generation_;
        failures_ += failures_ < 0xffffffffU ? 1U : 0U;
        probing_ = false;
        resume_at_ = resume_at;
        health_ = health;
    }
    /// A request ended in a way that says nothing about the endpoint: the next one may look.
    void inconclusive(std::uint64_t generation) noexcept {
        if (generation == generation_) probing_ = false;
    }
    /// A request was refused for want of capacity while others were taken: the limit shrinks, and nobody pauses.
    void pushed_back(std::uint64_t generation) noexcept {
        if (generation != generation_) return;
        probing_ = false;
        shrink();
    }
    /// The endpoint has answered as an endpoint should. An answer from before the last trouble proves nothing.
    /// `pushed_back`: some operations were refused for lack of capacity.
    void succeeded(std::uint64_t generation, bool pushed_back) noexcept {
        if (generation != generation_) return;
        failures_ = 0;
        probing_ = false;
        health_ = Health::ok;
        if (pushed_back) return shrink();
        limit_ = std::min(limit_ + 1 / limit_, max_);
    }
    [[nodiscard]] Health health() const noexcept { return health_; }

private:
    void shrink() noexcept {
        ++generation_;
        limit_ = std::max(limit_ / 2, min_);
    }

    double min_;
    double max_;
    double limit_;
    std::uint64_t generation_ = 0;
    std::uint32_t failures_ = 0;
    bool probing_ = false;
    TimePoint resume_at_{};
    Health health_ = Health::ok;
};

} // namespace bulkhead::inline v1::detail
