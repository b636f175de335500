// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <utility>

namespace bulkhead::inline v1::detail {

/// Who may travel, so that of one document one operation at a time is under way (`Ordering::per_id`). Pure.
///
/// A key stands for an index and id (a hash: two ids with one key merely wait for each other). The first operation to
/// ask holds its key until it is released; who comes meanwhile waits behind it, in the order of coming.
template <class Operation>
class IdOrder {
public:
    /// Takes the key, if nobody holds it.
    [[nodiscard]] bool claim(std::uint64_t key) { return lines_.try_emplace(key).second; }

    /// Lets an operation wait for a key that is held.
    void wait(std::uint64_t key, Operation operation) {
        const auto number = ++last_number_;
        waiting_.emplace_hint(waiting_.end(), number, Waiting{std::move(operation), key, 0});
        auto& line = lines_.find(key)->second;
        if (line.last != 0) waiting_.find(line.last)->second.next = number;
        if (line.first == 0) line.first = number;
        line.last = number;
    }
    /// The holder has ended. The next in its line, if any, now holds the key, and may travel.
    [[nodiscard]] std::optional<Operation> release(std::uint64_t key) {
        const auto line = lines_.find(key);
        if (line == lines_.end()) return std::nullopt;
        if (line->second.first == 0) {
            lines_.erase(line);
            return std::nullopt;
        }
        return leave(line->second);
    }
    /// Whoever has waited longest. nullptr when nobody waits.
    [[nodiscard]] const Operation* oldest() const {
        return waiting_.empty() ? nullptr : &waiting_.begin()->second.operation;
    }
    /// Takes whoever has waited longest out of its line; it never held its key.
    [[nodiscard]] Operation take_oldest() {
        return leave(lines_.find(waiting_.begin()->second.key)->second); // the first in its line, since older is first
    }
    [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.size(); }

private:
    struct Waiting {
        Operation operation;
        std::uint64_t key;
        std::uint64_t next; ///< in its line; 0: none
    };
    struct Line {
        std::uint64_t first = 0; ///< of those that wait
        std::uint64_t last = 0;
    };
    Operation leave(Line& line) {
        auto node = waiting_.extract(line.first);
        line.first = node.mapped().next;
        if (line.first == 0) line.last = 0;
        return std::move(node.mapped().operation);
    }
    boost::unordered_flat_map<std::uint64_t, Line> lines_; ///< by the keys that are held
    std::map<std::uint64_t, Waiting> waiting_;             ///< in the order of coming
    std::uint64_t last_number_ = 0;
};

} // namespace bulkhead::inline v1::detail
