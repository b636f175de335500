// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdint>

namespace bulkhead::inline v1::detail {

/// SplitMix64 (Steele, Lea, Flood, 2014): a small pseudo-random generator, the same on every machine. Not for secrets.
class SplitMix64 {
public:
    explicit SplitMix64(std::uint64_t seed) noexcept : state_{seed} {}
    /// The next number, any of 64 bits.
    [[nodiscard]] std::uint64_t operator()() noexcept {
        state_ += 0x9E3779B97F4A7C15ULL;
        auto mixed = state_;
        mixed = (mixed ^ (mixed >> 30U)) * 0xBF58476D1CE4E5B9ULL;
        mixed = (mixed ^ (mixed >> 27U)) * 0x94D049BB133111EBULL;
        return mixed ^ (mixed >> 31U);
    }

private:
    std::uint64_t state_;
};

} // namespace bulkhead::inline v1::detail
