// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdint>
#include <deque>

namespace bulkhead::inline v1::detail {

/// What a flush waits for. An epoch counts the operations that were sealed between two flushes and are not yet
/// released; a flush is complete when its epoch and all before it are empty.
class FlushEpochs {
public:
    FlushEpochs() { outstanding_.push_back(0); }

    /// Adds sealed operations to the current epoch and returns its number.
    std::uint64_t add(std::uint64_t operations) noexcept {
        outstanding_.back() += operations;
        return current();
    }
    /// Begins an epoch, unless the current one is empty, and returns its number: all that was added before belongs to
    /// earlier epochs. Throws `std::bad_alloc`; then nothing has changed.
    std::uint64_t advance() {
        if (outstanding_.back() != 0) outstanding_.push_back(0);
        return current();
    }
    /// Operations of this epoch are settled, and their observers have been notified.
    void release(std::uint64_t epoch, std::uint64_t operations) noexcept {
        outstanding_[epoch - first_] -= operations;
        while (outstanding_.size() > 1 && outstanding_.front() == 0) {
            outstanding_.pop_front();
            ++first_;
        }
    }
    /// The first epoch that is not drained: everything in those before it has been released.
    [[nodiscard]] std::uint64_t first() const noexcept { return first_; }
    /// Whether everything that was added has been released.
    [[nodiscard]] bool idle() const noexcept { return outstanding_.size() == 1 && outstanding_.front() == 0; }

private:
    [[nodiscard]] std::uint64_t current() const noexcept { return first_ + outstanding_.size() - 1; }

    std::deque<std::uint64_t> outstanding_; ///< by epoch, from `first_`; the last one is the current
    std::uint64_t first_ = 0;
};

} // namespace bulkhead::inline v1::detail
