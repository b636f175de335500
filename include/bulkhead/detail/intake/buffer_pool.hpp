// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/encode/bulk_batch.hpp>

#include <algorithm>
#include <cstddef>
#include <new>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::detail {

/// The byte budget: the bytes in use, the most that ever were, and spare buffers, which are in use too. Whether a
/// larger use fits the budget is decided by `find_room`.
class BufferPool {
public:
    /// Limits of what is kept as a spare buffer.
    struct SpareLimits {
        std::size_t bytes = 0;   ///< of one buffer
        std::size_t buffers = 0; ///< how many
        std::size_t budget = 0;  ///< of all bytes in use
    };

    [[nodiscard]] std::size_t used() const noexcept { return used_; }
    [[nodiscard]] std::size_t peak() const noexcept { return peak_; }
    void note_peak() noexcept { peak_ = std::max(peak_, used_); }
    /// What held `before` bytes holds `after` from now on.
    void exchange(std::size_t before, std::size_t after) noexcept { used_ = used_ - before + after; }

    [[nodiscard]] bool has_spare() const noexcept { return !spares_.empty(); }
    /// The buffer that `take_spare` would return; nullptr when there is none.
    [[nodiscard]] const BulkBatch* next_spare() const noexcept { return spares_.empty() ? nullptr : &spares_.back(); }
    /// Requires `has_spare()`. The bytes stay in use.
    [[nodiscard]] BulkBatch take_spare() noexcept {
        auto spare = std::move(spares_.back());
        spares_.pop_back();
        return spare;
    }
    [[nodiscard]] std::size_t spare_bytes() const noexcept {
        std::size_t bytes = 0;
        for (const auto& spare : spares_) bytes += spare.footprint();
        return bytes;
    }
    void free_spares() noexcept {
        used_ -= spare_bytes();
        spares_.clear();
    }
    /// Keeps a batch that is not in use as a spare buffer, within the limits. Returns the batch unless it was kept.
    [[nodiscard]] BulkBatch recycle(BulkBatch&& batch, const SpareLimits& limits) noexcept {
        const auto bytes = batch.footprint();
        if (bytes == 0 || bytes > limits.bytes || spares_.size() >= limits.buffers || used_ + bytes > limits.budget)
            return std::move(batch);
        try {
            spares_.push_back(std::move(batch));
        } catch (const std::bad_alloc&) { // a spare buffer is not worth failing for
            return std::move(batch);
        }
        spares_.back().clear();
        used_ += bytes;
        return {};
    }
    /// Moves all spare buffers but so many to `freed`, for the caller to destroy outside its lock. Throws
    /// `std::bad_alloc`; then some may have been moved.
    void trim(std::size_t kept, std::vector<BulkBatch>& freed) {
        while (spares_.size() > kept) {
            freed.push_back(std::move(spares_.back()));
            used_ -= freed.back().footprint();
            spares_.pop_back();
        }
    }

private:
    std::size_t used_ = 0;
    std::size_t peak_ = 0;
    std::vector<BulkBatch> spares_;
};

} // namespace bulkhead::inline v1::detail
