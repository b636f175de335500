// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>

#include <cstdint>
#include <map>
#include <utility>

namespace bulkhead::inline v1::detail {

/// Who may travel, so that of one document one operation at a time is under way (`Ordering::per_id`). Pure.
///
/// A key stands for an index and id (a hash: two ids with one key merely wait for each other). The first operation to
/// ask holds its key until it is released; who comes meanwhile waits behind it, in the order of coming.
///
/// Only `claim` and `Place` need memory. `Operation` moves without throwing.
template <class Operation>
class IdOrder {
    struct Waiting {
        Operation operation;
        std::uint64_t key;
        std::uint64_t next; ///< in its line; 0: none
    };
    using InOrder = std::map<std::uint64_t, Waiting>; // of coming

public:
    /// An operation that is to wait for a key, with the memory that this needs.
    class Place {
    public:
        /// Throws `std::bad_alloc`.
        Place(std::uint64_t key, Operation operation) {
            InOrder one;
            one.emplace(0, Waiting{std::move(operation), key, 0});
            node_ = one.extract(one.begin());
        }

    private:
        friend class IdOrder;
        typename InOrder::node_type node_;
    };

    /// Takes the key, if nobody holds it. Throws `std::bad_alloc`.
    [[nodiscard]] bool claim(std::uint64_t key) { return lines_.try_emplace(key).second; }

    /// Lets an operation wait for its key, which is held.
    void wait(Place place) noexcept {
        const auto number = ++last_number_;
        place.node_.key() = number;
        auto& line = lines_.find(place.node_.mapped().key)->second;
        if (line.last != 0) waiting_.find(line.last)->second.next = number;
        if (line.first == 0) line.first = number;
        line.last = number;
        waiting_.insert(waiting_.end(), std::move(place.node_));
    }
    /// The holder has ended. The next in its line, if any, now holds the key: it is the last of `released`.
    void release(std::uint64_t key) noexcept {
        const auto line = lines_.find(key);
        if (line == lines_.end()) return;
        if (line->second.first == 0) {
            lines_.erase(line);
            return;
        }
        auto next = leave(line->second);
        next.key() = ++last_number_;
        released_.insert(released_.end(), std::move(next));
    }
    /// The first that has got its key and was not taken yet. nullptr when there is none.
    [[nodiscard]] Operation* released() noexcept {
        return released_.empty() ? nullptr : &released_.begin()->second.operation;
    }
    /// It was taken.
    void pop_released() noexcept { released_.erase(released_.begin()); }

    /// Whoever has waited longest. nullptr when nobody waits.
    [[nodiscard]] const Operation* oldest() const noexcept {
        return waiting_.empty() ? nullptr : &waiting_.begin()->second.operation;
    }
    /// Calls `look` with those that wait, the one that has waited longest first, as long as it returns true.
    template <class Look>
    void for_oldest(const Look& look) const {
        for (const auto& [number, waiting] : waiting_)
            if (!look(waiting.operation)) return;
    }
    /// Takes whoever has waited longest out of its line; it never held its key.
    [[nodiscard]] Operation take_oldest() noexcept {
        // It is the first in its line, since older is first.
        return std::move(leave(lines_.find(waiting_.begin()->second.key)->second).mapped().operation);
    }
    [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.size(); }

    /// Gives back what a burst has left, when no key is held.
    void trim() noexcept {
        if (lines_.empty() && lines_.bucket_count() > lines_worth_keeping) decltype(lines_){}.swap(lines_);
    }

private:
    struct Line {
        std::uint64_t first = 0; ///< of those that wait
        std::uint64_t last = 0;
    };
    [[nodiscard]] typename InOrder::node_type leave(Line& line) noexcept {
        auto node = waiting_.extract(line.first);
        line.first = node.mapped().next;
        if (line.first == 0) line.last = 0;
        return node;
    }
    static constexpr std::size_t lines_worth_keeping = 1024;
    boost::unordered_flat_map<std::uint64_t, Line> lines_; ///< by the keys that are held
    InOrder waiting_;
    InOrder released_; ///< in the order of their release
    std::uint64_t last_number_ = 0;
};

} // namespace bulkhead::inline v1::detail
