// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/encode/encoded_operations.hpp>
#include <bulkhead/operation.hpp>

#include <cstddef>
#include <cstdint>

/// An offer of operations to the intake: its size, what a refusal means to it, and its result.
namespace bulkhead::inline v1::detail {

/// How large an offer is.
struct OfferSize {
    std::size_t bytes = 0; ///< encoded
    std::size_t operations = 0;
    /// What it takes of the budget at least.
    [[nodiscard]] constexpr std::size_t footprint() const noexcept {
        return bytes + operations * EncodedOperations::overhead;
    }
};

/// Whether a refusal as full is the end of an offer, or the caller waits and offers again (then it is not counted).
/// `reserve`: it is the first of those that wait in line, and others get no room that it needs until it was taken or
/// the reservation was ended. Otherwise small offers would take all that is released, and a large one would starve.
enum class IfFull : std::uint8_t { refuse, wait, reserve };

/// The result of an offer.
struct Offered {
    Admission admission;
    bool wake = false;      ///< asks for one run of the strand
    std::uint64_t room = 0; ///< for `Intake::wait_for_room`, after `full`
};

} // namespace bulkhead::inline v1::detail
