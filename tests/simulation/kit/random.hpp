// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

/// The random numbers of a simulation: one seed, one sequence, on every machine.
namespace bulkhead::inline v1::test::simulation {

/// SplitMix64.
class Random {
public:
    explicit Random(std::uint64_t seed) noexcept : state_{seed} {}
    std::uint64_t next() noexcept {
        auto z = (state_ += 0x9e37'79b9'7f4a'7c15U);
        z = (z ^ (z >> 30U)) * 0xbf58'476d'1ce4'e5b9U;
        z = (z ^ (z >> 27U)) * 0x94d0'49bb'1331'11ebU;
        return z ^ (z >> 31U);
    }
    /// 0 to limit - 1.
    std::size_t below(std::size_t limit) noexcept { return next() % limit; }
    /// Both included.
    std::size_t between(std::size_t min, std::size_t max) noexcept { return min + below(max - min + 1); }
    bool once_in(std::size_t times) noexcept { return below(times) == 0; }
    template <class T>
    const T& pick(const std::vector<T>& choices) noexcept {
        return choices[below(choices.size())];
    }

private:
    std::uint64_t state_;
};

} // namespace bulkhead::inline v1::test::simulation
