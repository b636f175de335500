// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <cstdint>

/// Whether the budget has room for one more offer, and what makes it. A pure decision, without a clock or a lock.
namespace bulkhead::inline v1::detail {

/// What makes room in the open batch, in the order in which it is tried.
enum class Room : std::uint8_t {
    amply,          ///< the open batch grows with space for those that follow
    without_spares, ///< the same, when the spare buffers are freed first
    exactly,        ///< spare buffers are freed, an empty open batch gives up its buffer; it grows by what is needed
    after_dropping, ///< the oldest sealed batch is dropped first; then the question is asked again
    none,           ///< nothing would help now
};

/// What the budget and the open batch look like to an offer. Bytes are counted by capacity.
struct RoomFacts {
    std::size_t limit = 0;                ///< `max_buffered_bytes`, less what is held back for another offer
    std::size_t operations_limit = 0;     ///< `max_buffered_operations`, likewise
    std::size_t used = 0;                 ///< of `limit`, all that follows included
    std::size_t spares = 0;               ///< of `used`: the spare buffers
    std::size_t open = 0;                 ///< of `used`: the open batch
    std::size_t pending = 0;              ///< of `operations_limit`
    std::size_t operations = 0;           ///< of the offer
    std::size_t amply = 0;                ///< the open batch when it has grown amply
    std::size_t exactly = 0;              ///< the open batch when it holds no more than it must
    bool dropped = false;                 ///< a batch has been dropped for this offer
    bool first_in_line = false;           ///< room is held back for this offer
    bool may_drop = false;                ///< `Overflow::drop_oldest`, and something is sealed
    std::size_t droppable_bytes = 0;      ///< what the budget gets back when all that is sealed is dropped
    std::size_t droppable_operations = 0; ///< all that is sealed
};

/// Whether so many more operations may be pending.
[[nodiscard]] constexpr bool operations_fit(std::size_t pending, std::size_t more, std::size_t limit) noexcept {
    return pending + more <= limit;
}

/// Decides how the offer gets room. While operations are pending, the open batch only grows amply: within a remnant of
/// the budget it would be moved for each operation, and the pending ones will make room. The batch grows by the least
/// that is needed if nothing is pending, since then no room will be made. It does the same if a batch was dropped for
/// this offer, which must not be in vain, and for an offer that room is held back for.
/// `after_dropping` promises that the offer has room in the end, so that nothing is dropped in vain.
[[nodiscard]] constexpr Room find_room(const RoomFacts& f) noexcept {
    const auto kept = f.used - f.open; // what the open batch does not hold
    if (operations_fit(f.pending, f.operations, f.operations_limit)) {
        if (kept + f.amply <= f.limit) return Room::amply;
        if (kept - f.spares + f.amply <= f.limit) return Room::without_spares;
        if ((f.pending == 0 || f.dropped || f.first_in_line) && kept - f.spares + f.exactly <= f.limit)
            return Room::exactly;
    }
    if (f.may_drop && kept - f.spares - f.droppable_bytes + f.exactly <= f.limit &&
        operations_fit(f.pending - f.droppable_operations, f.operations, f.operations_limit))
        return Room::after_dropping;
    return Room::none;
}

} // namespace bulkhead::inline v1::detail
