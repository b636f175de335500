// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/send/request_ceiling.hpp>
#include <bulkhead/detail/send/size_suspicion.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace bulkhead::inline v1::detail {

/// Whose trouble a failure is that a smaller request might cure.
enum class Blame : std::uint8_t { endpoint, bulk };

/// What a request may carry, learnt from 413 and from requests that keep failing, and which bulks are to blame for
/// their failures. Pure.
class RequestSizing {
public:
    /// A bulk is halved for its own failures only after so many, so that random overload does not take it to pieces.
    static constexpr std::uint32_t failures_before_halving = 4;

    explicit RequestSizing(RequestSize most) noexcept : ceiling_{most.bytes}, suspicion_{most} {}

    /// The configured size has changed.
    void most(RequestSize most) noexcept {
        ceiling_.most(most.bytes);
        suspicion_.most(most);
    }
    /// What a request may carry now.
    [[nodiscard]] RequestSize limit() const noexcept {
        const auto suspected = suspicion_.limit();
        return {suspected.operations, std::min(ceiling_.bytes(), suspected.bytes)};
    }
    /// How large batches become: what a request may carry once the present trouble is over.
    [[nodiscard]] std::size_t batch_bytes() const noexcept {
        return std::min(ceiling_.bytes(), suspicion_.ceiling().bytes);
    }
    /// How many requests were taken, and one.
    [[nodiscard]] std::uint64_t requests_taken() const noexcept { return taken_; }

    /// A request of this size was taken, at least in part.
    void taken(RequestSize size) noexcept {
        ++taken_;
        suspicion_.taken(size);
        (void)ceiling_.taken(size.bytes);
    }
    /// A request of so many bytes was refused as too large.
    void too_large(std::size_t bytes) noexcept { ceiling_.refused(bytes); }

    /// A bulk failed in a way that a smaller one might not. It is to blame when it failed before, and others were taken
    /// between. Where others failed as well, that is no more than an overloaded endpoint does: three must have been
    /// taken for each that failed for the first time. An operation that was charged before (`was_charged`) is to blame
    /// as long as no other fails.
    ///
    /// `alone`: no other request was in flight with it. `fewer_first`: fewer requests at once may cure it, so the size
    /// is not to blame yet.
    template <class Bulk>
    [[nodiscard]] Blame blame(Bulk& bulk, RequestSize size, bool was_charged, bool alone, bool fewer_first) noexcept {
        const bool again = bulk.failed_after != 0;
        const auto taken_between = taken_ - bulk.failed_after;
        const auto failed_between = first_failures_ - bulk.fresh_failures;
        const bool to_blame = again && (taken_between > 3 * failed_between || (was_charged && failed_between == 0));
        if (!again) ++first_failures_;
        bulk.failed_after = taken_;
        bulk.fresh_failures = first_failures_;
        if (bulk.failures < 0xffffffffU) ++bulk.failures;
        if (!to_blame || size.operations > 1) suspicion_.failed(size, alone, fewer_first);
        if (!to_blame) return Blame::endpoint;
        if (!fewer_first) suspicion_.failed_twice(size);
        bulk.apart = bulk.apart || size.operations == 1;
        return Blame::bulk;
    }

private:
    RequestCeiling ceiling_;
    SizeSuspicion suspicion_;
    std::uint64_t taken_ = 1;          ///< requests that were taken, and one
    std::uint64_t first_failures_ = 0; ///< bulks that failed for the first time
};

} // namespace bulkhead::inline v1::detail
