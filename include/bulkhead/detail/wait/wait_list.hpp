// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>

namespace bulkhead::inline v1::detail {

/// Calls that wait, in the order of their ids, which is the order in which they came. Pure. `Waiter` moves without
/// throwing.
template <class Waiter>
class WaitList {
    using ById = std::map<std::uint64_t, Waiter>;

public:
    /// A waiter with all the memory that it needs.
    class Place {
    public:
        /// Throws `std::bad_alloc`.
        Place(std::uint64_t id, Waiter waiter) {
            ById one;
            one.emplace(id, std::move(waiter));
            node_ = one.extract(one.begin());
        }

    private:
        friend class WaitList;
        typename ById::node_type node_;
    };

    void add(Place place) noexcept { waiters_.insert(std::move(place.node_)); }
    [[nodiscard]] bool empty() const noexcept { return waiters_.empty(); }
    [[nodiscard]] bool contains(std::uint64_t id) const noexcept { return waiters_.contains(id); }
    /// The one that came first. Not when the list is empty.
    [[nodiscard]] Waiter& front() noexcept { return waiters_.begin()->second; }
    void pop_front() noexcept { waiters_.erase(waiters_.begin()); }
    /// The one with this id, if it waits.
    [[nodiscard]] std::optional<Waiter> take(std::uint64_t id) noexcept {
        auto node = waiters_.extract(id);
        if (!node) return std::nullopt;
        return std::move(node.mapped());
    }

private:
    ById waiters_;
};

} // namespace bulkhead::inline v1::detail
