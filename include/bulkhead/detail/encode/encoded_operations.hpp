// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/encode/byte_buffer.hpp>
#include <bulkhead/detail/encode/prepared.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::inline v1::detail {

/// How far a batch may grow ahead of what is needed (`Growth{0, 0}`: not at all), and with what it begins.
struct Growth {
    std::size_t most_bytes = static_cast<std::size_t>(-1);      ///< reserved ahead at most
    std::size_t most_operations = static_cast<std::size_t>(-1); ///< the same for entries
    std::size_t first_bytes = 4096;                             ///< reserved first
    std::size_t first_operations = 16;                          ///< the same for entries
};

/// The bytes of a bulk request and one entry for each operation in it. A move-only value; `Batch` is its public face.
class EncodedOperations {
public:
    /// What an operation costs beside its bytes: its entry, and the settlement that will take the entry's place, so
    /// that settling never needs memory that was not counted before.
    static constexpr std::size_t overhead = sizeof(Entry) + sizeof(Settlement);

    [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
    [[nodiscard]] std::size_t operations() const noexcept { return entries_.size(); }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_.size(); }
    [[nodiscard]] std::string_view body() const noexcept { return bytes_.view(); }
    /// One for each operation, in order.
    [[nodiscard]] std::span<Entry> entries() noexcept { return entries_; }
    [[nodiscard]] std::span<const Entry> entries() const noexcept { return entries_; }
    void clear() noexcept {
        bytes_.clear();
        entries_.clear();
    }

    /// The memory held, by capacity.
    [[nodiscard]] std::size_t footprint() const noexcept { return bytes_.capacity() + entries_.capacity() * overhead; }
    /// Whether this much more needs no growing.
    [[nodiscard]] bool fits(std::size_t more_bytes, std::size_t more_operations) const noexcept {
        return bytes_.size() + more_bytes <= bytes_.capacity() &&
               entries_.size() + more_operations <= entries_.capacity();
    }
    /// What `footprint()` would be after `reserve_more` with the same arguments.
    [[nodiscard]] std::size_t footprint_after(std::size_t more_bytes, std::size_t more_operations,
                                              Growth growth) const noexcept {
        return bytes_after(more_bytes, growth) + entries_after(more_operations, growth) * overhead;
    }
    /// Makes room, growing by doubling within `growth`. Throws `std::bad_alloc`.
    void reserve_more(std::size_t more_bytes, std::size_t more_operations, Growth growth) {
        if (fits(more_bytes, more_operations)) return;
        entries_.reserve(entries_after(more_operations, growth));
        bytes_.reserve(bytes_after(more_bytes, growth));
    }

    /// Copies a prepared operation in; the room has been reserved.
    void append_unchecked(const Prepared& op, const std::string& prefix, Ticket ticket) noexcept {
        auto& entry = entries_.emplace_back(op.entry); // in place: a copy of what was just written would wait for it
        entry.ticket = ticket;
        entry.action_bytes = static_cast<std::uint32_t>(prefix.size() + op.metadata.view().size() + 3);
        if (op.id_bytes != 0) entry.id_end = static_cast<std::uint16_t>(prefix.size() + op.id_bytes);
        bytes_.append_unchecked(prefix);
        bytes_.append_unchecked(op.metadata.view());
        bytes_.append_unchecked("}}\n");
        if (op.action != Action::delete_) {
            entry.source_bytes = static_cast<std::uint32_t>(op.source.size() + 1);
            auto* const source = bytes_.data() + bytes_.size();
            bytes_.append_unchecked(op.source);
            if (op.source_has_newline) std::replace(source, source + op.source.size(), '\n', ' ');
            bytes_.append_unchecked("\n");
        }
        bytes_.prefetch();
    }
    /// Copies other operations in, all with this ticket; the room has been reserved.
    void append_unchecked(const EncodedOperations& other, Ticket ticket) noexcept {
        bytes_.append_unchecked(other.body());
        for (auto entry : other.entries_) {
            entry.ticket = ticket;
            entry.holds_id = entry.not_allowed = false; // both are valid only in the indexer that set them
            entries_.push_back(entry);
        }
    }
    /// Copies other operations in as they are; the room has been reserved.
    void append_unchecked(const EncodedOperations& other) noexcept {
        bytes_.append_unchecked(other.body());
        entries_.insert(entries_.end(), other.entries_.begin(), other.entries_.end());
    }
    /// Appends an operation whose lines are written already, each with its newline. Throws `std::bad_alloc`.
    void append_encoded(std::string_view action_line, std::string_view source_line, Entry entry) {
        reserve_more(action_line.size() + source_line.size(), 1, Growth{});
        entry.action_bytes = static_cast<std::uint32_t>(action_line.size());
        entry.source_bytes = static_cast<std::uint32_t>(source_line.size());
        entries_.push_back(entry);
        bytes_.append_unchecked(action_line);
        bytes_.append_unchecked(source_line);
    }

    /// The one operation at this position, whose bytes begin at `offset`.
    [[nodiscard]] EncodedOperations extract_one(std::size_t position, std::size_t offset) const {
        EncodedOperations one;
        one.bytes_.reserve(entries_[position].bytes());
        one.entries_.reserve(1);
        one.bytes_.append_unchecked(body().substr(offset, entries_[position].bytes()));
        one.entries_.push_back(entries_[position]);
        return one;
    }
    /// The operations for which `keep(position)` is true, in order, byte by byte, entries included.
    template <class Keep>
    [[nodiscard]] EncodedOperations extract(Keep keep) const {
        EncodedOperations kept;
        std::size_t bytes = 0;
        std::size_t operations = 0;
        for (std::size_t i = 0; i < entries_.size(); ++i) {
            if (!keep(i)) continue;
            bytes += entries_[i].bytes();
            ++operations;
        }
        kept.bytes_.reserve(bytes);
        kept.entries_.reserve(operations);
        std::size_t offset = 0;
        for (std::size_t i = 0; i < entries_.size(); offset += entries_[i].bytes(), ++i) {
            if (!keep(i)) continue;
            kept.bytes_.append_unchecked(body().substr(offset, entries_[i].bytes()));
            kept.entries_.push_back(entries_[i]);
        }
        return kept;
    }

private:
    [[nodiscard]] static std::size_t grown(std::size_t capacity, std::size_t needed, std::size_t first,
                                           std::size_t most) noexcept {
        return needed <= capacity ? capacity : std::max(needed, std::min(std::max(capacity * 2, first), most));
    }
    [[nodiscard]] std::size_t bytes_after(std::size_t more, Growth growth) const noexcept {
        return grown(bytes_.capacity(), bytes_.size() + more, growth.first_bytes, growth.most_bytes);
    }
    [[nodiscard]] std::size_t entries_after(std::size_t more, Growth growth) const noexcept {
        return grown(entries_.capacity(), entries_.size() + more, growth.first_operations, growth.most_operations);
    }

    ByteBuffer bytes_;
    std::vector<Entry> entries_;
};

} // namespace bulkhead::inline v1::detail
