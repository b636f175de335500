// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/batch.hpp>

#include <cstddef>
#include <span>
#include <utility>

namespace bulkhead::inline v1::detail {

/// A batch inside the indexer: the body of a request, with the operations' entries. What a `Batch` keeps from callers,
/// this offers; a `CloseReport` returns it as the `Batch` that it is.
class BulkBatch : public Batch {
public:
    BulkBatch() = default;
    explicit BulkBatch(EncodedOperations operations) noexcept { encoded() = std::move(operations); }

    [[nodiscard]] EncodedOperations& encoded() noexcept { return BatchAccess::encoded(*this); }
    [[nodiscard]] const EncodedOperations& encoded() const noexcept { return BatchAccess::encoded(*this); }
    [[nodiscard]] std::span<Entry> entries() noexcept { return encoded().entries(); }
    [[nodiscard]] std::span<const Entry> entries() const noexcept { return encoded().entries(); }
    [[nodiscard]] std::size_t footprint() const noexcept { return encoded().footprint(); }
    void reserve_more(std::size_t more_bytes, std::size_t more_operations, Growth growth) {
        encoded().reserve_more(more_bytes, more_operations, growth);
    }
    void append_unchecked(const BulkBatch& other) noexcept { encoded().append_unchecked(other.encoded()); }
    [[nodiscard]] BulkBatch extract_one(std::size_t position, std::size_t offset) const {
        return BulkBatch{encoded().extract_one(position, offset)};
    }
    template <class Keep>
    [[nodiscard]] BulkBatch extract(Keep keep) const {
        return BulkBatch{encoded().extract(std::move(keep))};
    }
};

} // namespace bulkhead::inline v1::detail
