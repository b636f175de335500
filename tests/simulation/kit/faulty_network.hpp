// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/kit/counters.hpp"
#include "simulation/kit/random.hpp"
#include <bulkhead/test/manual_clock.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

/// What a network and the servers behind it do to a request, and what they do later.
namespace bulkhead::inline v1::test::simulation {

/// What may happen to a request. Each seed allows some of it.
enum class Fate : std::uint8_t {
    fine,          ///< applied and answered, item by item
    items_429,     ///< the same, but some items are refused for lack of capacity
    items_refused, ///< the same, but some items are refused for other reasons: `Refusal`
    refused,       ///< no connection
    lost_before,   ///< sent, not applied, no answer
    lost_after,    ///< sent, applied, no answer
    prefix,        ///< a part was applied, no answer
    late,          ///< no answer, and applied some time later
    slow,          ///< applied, and answered some time later
    busy,          ///< 429 or 503 as a whole, not applied
    unauthorized,  ///< 401, 403 or 407
    misconfigured, ///< 302, 404, 405, 415 or 501: not a bulk endpoint
    gateway,       ///< 502 or 504 from a proxy, applied or not
    html,          ///< 200 with something else than a bulk answer, applied or not
    short_answer,  ///< applied, an item is missing
    surplus,       ///< applied, an item too many
    early,         ///< answered before all of it was sent: refused, or a success that cannot be one
    oversized,     ///< applied, and the answer is cut off since it is too large
    too_large,     ///< 413, by the request's size
    malformed,     ///< 400, because of one of the operations; perhaps what stands before it was applied
    too_many,      ///< fails by the request's size, under another name than 413
    unpassable,    ///< fails because of one of the operations, under another name than 400
};
inline constexpr std::size_t fate_count = values_up_to(Fate::unpassable);
constexpr std::string_view name_of(Fate fate) noexcept {
    constexpr auto names = std::to_array<std::string_view>(
        {"fine",  "items 429", "items refused", "refused",       "lost before", "lost after", "prefix", "late",
         "slow",  "busy",      "unauthorized",  "misconfigured", "gateway",     "html",       "short",  "surplus",
         "early", "oversized", "413",           "400",           "too many",    "unpassable"});
    static_assert(names.size() == fate_count);
    return names[static_cast<std::size_t>(fate)];
}

/// Which fates one life allows, and how often.
class FaultPlan {
public:
    void choose(Random& random) {
        for (std::size_t fate = 1; fate < fate_count; ++fate) {
            allowed_[fate] = random.once_in(3);
            if (allowed_[fate] && Fate(fate) < Fate::too_large) troubles_.push_back(Fate(fate));
        }
        failures_of_ten_ = random.between(1, 6);
    }
    [[nodiscard]] bool allows(Fate fate) const noexcept { return allowed_[static_cast<std::size_t>(fate)]; }
    /// The request itself has nothing that fails: does the network fail?
    [[nodiscard]] Fate draw(Random& random, bool calm) const {
        if (calm || troubles_.empty() || random.below(10) >= failures_of_ten_) return Fate::fine;
        return random.pick(troubles_);
    }
    /// Nothing goes wrong by itself, and these fates do not come up.
    void clear(Fate one, Fate other) noexcept {
        troubles_.clear();
        allowed_[static_cast<std::size_t>(one)] = allowed_[static_cast<std::size_t>(other)] = false;
    }

private:
    std::array<bool, fate_count> allowed_{true};
    std::vector<Fate> troubles_;
    std::size_t failures_of_ten_ = 0; ///< so many of ten requests fail
};

/// What the network still has to do, at some time.
template <class Event>
class LateEvents {
public:
    void add(ManualClock::time_point due, Event event) { events_.push_back({due, std::move(event)}); }
    [[nodiscard]] bool empty() const noexcept { return events_.empty(); }
    /// Calls `f(event)` for what is due, or for everything when `all`; oldest entry first.
    template <class F>
    void deliver(bool all, F f) {
        for (std::size_t i = 0; i < events_.size();) {
            if (events_[i].due > ManualClock::now() && !all) {
                ++i;
                continue;
            }
            auto event = std::move(events_[i].event);
            events_.erase(events_.begin() + std::ptrdiff_t(i));
            f(event);
        }
    }

private:
    struct Entry {
        ManualClock::time_point due{};
        Event event;
    };
    std::vector<Entry> events_;
};

} // namespace bulkhead::inline v1::test::simulation
