// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace bulkhead::inline v1::detail {

/// How much a request carries, or may carry.
struct RequestSize {
    std::size_t operations = 0;
    std::size_t bytes = 0;
    friend bool operator==(const RequestSize&, const RequestSize&) = default;
};

/// One measure of a request, operations or bytes, and what requests may have of it. See `SizeSuspicion`. Pure.
class MeasureSuspicion {
public:
    static constexpr std::uint32_t most_doublings = 10;
    static constexpr std::uint32_t patience = 10;

    explicit MeasureSuspicion(std::size_t most) noexcept : most_{most} {}

    void most(std::size_t most) noexcept { most_ = most; }
    [[nodiscard]] std::size_t limit() const noexcept { return cap_ == 0 ? ceiling() : std::min(cap_, ceiling()); }
    [[nodiscard]] std::size_t ceiling() const noexcept { return ceiling_ == 0 ? most_ : std::min(ceiling_, most_); }

    /// At most half as much from now on as requests carried that failed in a row. A small one among them says little.
    void halve() noexcept {
        cap_ = std::max<std::size_t>((cap_ == 0 ? streak_ : std::min(cap_, streak_)) / 2, 1);
        doublings_ = 0;
    }
    /// A request of this size failed. If as much was taken before, the size is not to blame.
    void failed(std::size_t size) noexcept {
        if (size <= taken_) taken_ = suspect_ = ceiling_ = 0;
        streak_ = std::max(streak_, size);
        smallest_ = std::min(smallest_, size);
    }
    /// A request of this size failed twice.
    void failed_twice(std::size_t size) noexcept {
        if (taken_ != 0) suspect_ = suspect_ == 0 ? size : std::min(suspect_, size);
    }
    void taken(std::size_t size) noexcept {
        // One as large as the smallest that failed: then it was not the size.
        const bool doubles = size < smallest_ && cap_ < most_ / 2 && ++doublings_ < most_doublings;
        cap_ = doubles ? cap_ * 2 : 0;
        if (cap_ == 0) smallest_ = none_failed;
        if (size < suspect_) {
            ceiling_ = std::max({suspect_ / 2, taken_, std::size_t{1}});
            since_ = 0;
            taken_ = 0;
        } else if (ceiling_ != 0 && ++since_ >= patience) {
            since_ = 0;
            ceiling_ = ceiling_ < most_ / 2 ? ceiling_ * 2 : 0;
        }
        suspect_ = streak_ = 0;
        taken_ = std::max(taken_, size);
    }

private:
    static constexpr auto none_failed = static_cast<std::size_t>(-1);

    std::size_t most_;
    std::size_t smallest_ = none_failed; ///< that failed since the cap was lifted
    std::size_t cap_ = 0;                ///< 0: none
    std::size_t streak_ = 0;             ///< the largest that failed since one was taken
    std::uint32_t doublings_ = 0;        ///< of the cap, since it was last halved
    std::size_t ceiling_ = 0;            ///< 0: none
    std::uint32_t since_ = 0;            ///< requests taken since the ceiling was set
    std::size_t taken_ = 0;              ///< the largest since the last contrast
    std::size_t suspect_ = 0;            ///< failed twice, a smaller one was taken before; 0: none
};

/// Suspects a request that keeps failing of its size, whatever its failure is called: a time-out, a reset, 408, 429,
/// 500, 502, 503, 504. Pure. (A 413 says what is wrong: `RequestCeiling` learns from it.)
///
/// *The cap* is for the moment. From the second failure in a row on, each failure halves what every request may carry,
/// down to one operation. Each request that is taken doubles the cap, so that the full size is back after ten of them.
/// It is back at once when a request is taken that is as large as one that failed: the size was not to blame.
///
/// *The ceiling* lasts. It is learnt by contrast only: a size failed twice, smaller requests were taken before and
/// after, and none as small has failed since. It doubles after ten requests that were taken, since what was slow may be
/// fast again.
class SizeSuspicion {
public:
    /// `most`: the configured size of a request.
    explicit SizeSuspicion(RequestSize most) noexcept : operations_{most.operations}, bytes_{most.bytes} {}

    /// The configured size has changed.
    void most(RequestSize most) noexcept {
        operations_.most(most.operations);
        bytes_.most(most.bytes);
    }
    /// What a request may carry now. One operation may always travel, however large it is.
    [[nodiscard]] RequestSize limit() const noexcept { return {operations_.limit(), bytes_.limit()}; }
    /// What a request may carry once the present trouble is over.
    [[nodiscard]] RequestSize ceiling() const noexcept { return {operations_.ceiling(), bytes_.ceiling()}; }

    /// A request failed in a way that a smaller one might not. `alone`: no other was in flight with it. `overload`:
    /// fewer requests at once may cure it, so it says nothing about the size.
    void failed(RequestSize size, bool alone, bool overload) noexcept {
        operations_.failed(size.operations);
        bytes_.failed(size.bytes);
        if (!alone) return;
        if (failures_ < 2) ++failures_;
        if (failures_ < 2) return;
        operations_.halve();
        bytes_.halve();
        if (!overload) failed_twice(size);
    }
    /// A request of this size failed twice, and others were taken between.
    void failed_twice(RequestSize size) noexcept {
        if (size.operations < 2) return;
        operations_.failed_twice(size.operations);
        bytes_.failed_twice(size.bytes);
    }
    /// A request of this size was taken.
    void taken(RequestSize size) noexcept {
        failures_ = 0;
        operations_.taken(size.operations);
        bytes_.taken(size.bytes);
    }

private:
    MeasureSuspicion operations_;
    MeasureSuspicion bytes_;
    std::uint32_t failures_ = 0; ///< in a row, of requests that were alone; at most 2
};

} // namespace bulkhead::inline v1::detail
