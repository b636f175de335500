// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace bulkhead::inline v1::detail {

/// How large a request the endpoint takes, learnt from its 413s. Pure.
///
/// Elasticsearch and OpenSearch refuse a body above `http.max_content_length` (100 MiB by default), counted
/// uncompressed; a proxy before them may refuse much less (nginx: `client_max_body_size`, 1 MiB). Without a memory,
/// every batch above that would be sent in vain, and its halves perhaps too.
///
/// A refusal brings the ceiling down to the largest size taken since the last one, or to half of what was refused.
/// After some requests near the ceiling it rises by an eighth, since limits change; each rise that is refused doubles
/// how many requests the next one waits for.
class RequestCeiling {
public:
    /// `most`: the configured size of a batch, where it begins.
    explicit RequestCeiling(std::size_t most) noexcept : most_{most}, bytes_{most} {}

    /// No batch of several operations should be larger.
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

    /// The configured size has changed.
    void most(std::size_t bytes) noexcept {
        if (bytes_ == most_ || bytes_ > bytes) bytes_ = bytes;
        most_ = bytes;
    }
    /// A request of this size, of more than one operation, was refused as too large.
    void refused(std::size_t size) noexcept {
        if (size <= taken_) taken_ = 0; // what was true is so no longer
        if (size <= bytes_ && std::exchange(rose_, false)) patience_ = std::min(patience_ * 2, most_patience);
        bytes_ = std::min(bytes_, std::max({size / 2, taken_, least}));
        near_ = 0;
    }
    /// A request of this size was taken. True when the ceiling has risen.
    bool taken(std::size_t size) noexcept {
        taken_ = std::max(taken_, size);
        if (bytes_ == most_ || size < bytes_ / 2 || ++near_ < patience_) return false;
        near_ = 0;
        rose_ = true;
        bytes_ = std::min(bytes_ + bytes_ / 8 + 1, most_);
        return true;
    }

private:
    static constexpr std::size_t least = 1024;
    static constexpr std::uint32_t first_patience = 16;
    static constexpr std::uint32_t most_patience = 4096;

    std::size_t most_;
    std::size_t bytes_;
    std::size_t taken_ = 0;  ///< the largest size taken since one as small was refused
    std::uint32_t near_ = 0; ///< requests near the ceiling since it was changed
    std::uint32_t patience_ = first_patience;
    bool rose_ = false; ///< since the last refusal
};

} // namespace bulkhead::inline v1::detail
