// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/settlement.hpp>
#include <bulkhead/stats.hpp>

#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

/// What a run of simulated lives has seen: named counters, and one number for everything.
namespace bulkhead::inline v1::test::simulation {

/// How many values an enumeration has, which is known by its last one.
template <class E>
constexpr std::size_t values_up_to(E last) noexcept {
    return static_cast<std::size_t>(last) + 1;
}

inline constexpr std::size_t health_count = 6;
constexpr std::string_view name_of(Outcome outcome) noexcept { return to_string(outcome); }
constexpr std::string_view name_of(Health health) noexcept { return to_string(health); }

/// How often each value of an enumeration came up. `name_of(E)` names a value.
template <class E, std::size_t size>
class Counters {
public:
    void count(E what) noexcept { ++times_[static_cast<std::size_t>(what)]; }
    [[nodiscard]] std::uint64_t operator[](E what) const noexcept { return times_[static_cast<std::size_t>(what)]; }
    /// Calls `f(std::string_view name, std::uint64_t times)` for each value but `except`.
    template <class F, class... Except>
    void for_each(F& f, Except... except) const {
        for (std::size_t i = 0; i < size; ++i)
            if (((E(i) != except) && ...)) f(name_of(E(i)), times_[i]);
    }

private:
    std::array<std::uint64_t, size> times_{};
};

/// One number for all that happened: two versions of the library that do the same at the same times have the same.
class Digest {
public:
    void add(std::uint64_t value) noexcept { value_ = (std::rotl(value_, 5) ^ value) * 0x9e3779b97f4a7c15U; }
    void add(std::string_view text) noexcept { add(std::hash<std::string_view>{}(text)); }
    /// A request is sent.
    void sent(std::string_view body, std::chrono::nanoseconds now) noexcept {
        add(body);
        add(static_cast<std::uint64_t>(now.count()));
    }
    void settled(std::uint64_t key, Outcome outcome, std::chrono::nanoseconds now) noexcept {
        add(key);
        add(static_cast<std::uint64_t>(outcome));
        add(static_cast<std::uint64_t>(now.count()));
    }
    [[nodiscard]] std::uint64_t value() const noexcept { return value_; }

private:
    std::uint64_t value_ = 0;
};

} // namespace bulkhead::inline v1::test::simulation
