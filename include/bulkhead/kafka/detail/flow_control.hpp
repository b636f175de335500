// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/source_stats.hpp>

#include <cstddef>
#include <cstdint>

namespace bulkhead::inline v1::detail {

/// What fills a source up.
struct Pressure {
    bool stashed = false; ///< a record waits for room in the indexer
    std::size_t letter_bytes = 0;
    std::size_t cached_bytes = 0;
    std::uint64_t outstanding = 0; ///< operations that were handed over and are not settled
};

/// Decides whether a source takes records, and which partitions are paused and why. Pure: time is an argument.
///
/// A full source *holds* first: it takes no records. Only after `pause_after` its partitions are paused, since a client
/// may throw away what it has prefetched of a paused partition. Paused partitions resume when half of what was
/// outstanding is settled.
template <class TimePoint>
class FlowControl {
public:
    using Duration = decltype(TimePoint{} - TimePoint{});
    struct Limits {
        Duration pause_after{};
        std::size_t max_span = 0;
        std::size_t max_letter_bytes = 0;
        std::size_t max_cached_bytes = 0;
    };

    explicit FlowControl(const Limits& limits) noexcept : limits_{limits} {}

    /// Records are taken, unless one is stashed.
    [[nodiscard]] bool is_open() const noexcept { return !holding_ && !draining_ && !stopped(); }
    [[nodiscard]] bool is_holding() const noexcept { return holding_; }
    [[nodiscard]] bool about_to_pause() const noexcept { return holding_ && !pausing_; }

    /// For good. False when it had stopped before: the first reason remains.
    [[nodiscard]] bool stop(StopReason reason) noexcept {
        if (stopped()) return false;
        stop_reason_ = reason;
        return true;
    }
    [[nodiscard]] bool stopped() const noexcept { return stop_reason_ != StopReason::none; }
    [[nodiscard]] StopReason stop_reason() const noexcept { return stop_reason_; }
    void drain() noexcept { draining_ = true; }
    [[nodiscard]] bool draining() const noexcept { return draining_; }

    /// Takes no records from now on. A pause ends when no more than `resume_at` operations are outstanding.
    void hold(PauseReason why, std::uint64_t resume_at, TimePoint now) noexcept {
        holding_ = true;
        held_for_ = why;
        resume_at_ = resume_at;
        held_since_ = now;
        pausing_ = limits_.pause_after == Duration{};
    }
    [[nodiscard]] bool too_many_letters(std::size_t bytes) const noexcept {
        return bytes >= limits_.max_letter_bytes && !holding_;
    }
    [[nodiscard]] bool too_many_cached(std::size_t bytes) const noexcept {
        return bytes >= limits_.max_cached_bytes && !holding_;
    }
    /// Ends the hold, or pauses. True when `must_pause` may have changed.
    [[nodiscard]] bool update(const Pressure& pressure, TimePoint now) noexcept {
        if (!holding_) return false;
        if (cause(pressure) != PauseReason::none) {
            if (pausing_ || now - held_since_ < limits_.pause_after) return false;
            pausing_ = true;
        } else {
            if (pausing_ && pressure.outstanding > resume_at_) return false;
            holding_ = pausing_ = false;
        }
        return true;
    }

    /// A partition is paused for its span from here on …
    [[nodiscard]] bool span_is_long(std::size_t span) const noexcept { return span > limits_.max_span; }
    /// … until here.
    [[nodiscard]] bool span_is_short(std::size_t span) const noexcept { return span <= limits_.max_span / 2; }
    /// A paused client may still deliver what it has prefetched; this is the end of that.
    [[nodiscard]] bool refuses_more(std::size_t records) const noexcept { return records >= 2 * limits_.max_span; }

    [[nodiscard]] bool must_pause(bool span_exceeded) const noexcept {
        return span_exceeded || pausing_ || draining_ || stopped();
    }
    /// Why a paused partition is paused.
    [[nodiscard]] PauseReason reason(bool span_exceeded, const Pressure& pressure) const noexcept {
        if (stopped()) return PauseReason::stopped;
        if (draining_) return PauseReason::draining;
        if (span_exceeded) return PauseReason::span;
        const auto now = cause(pressure);
        return now == PauseReason::none ? held_for_ : now;
    }

private:
    /// What keeps the hold.
    [[nodiscard]] PauseReason cause(const Pressure& pressure) const noexcept {
        if (pressure.stashed) return PauseReason::budget;
        if (pressure.letter_bytes > limits_.max_letter_bytes / 2) return PauseReason::dead_letters;
        if (pressure.cached_bytes > limits_.max_cached_bytes / 2) return PauseReason::kept_records;
        return PauseReason::none;
    }

    Limits limits_;
    bool holding_ = false;                     ///< the indexer was full, or letters or cached records are too many
    bool pausing_ = false;                     ///< so all partitions are paused
    PauseReason held_for_ = PauseReason::none; ///< the first cause
    std::uint64_t resume_at_ = 0;
    TimePoint held_since_{};
    bool draining_ = false;
    StopReason stop_reason_ = StopReason::none;
};

} // namespace bulkhead::inline v1::detail
