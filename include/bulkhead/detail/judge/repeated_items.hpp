// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/judge/bulk_answer.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

/// The items of an answer that come again byte by byte. Pure.
namespace bulkhead::inline v1::detail {

/// The items of a clean answer are the same few bytes over and over, and a shard that takes no more repeats one refusal
/// for each of its operations. What was parsed once between the ends of two items means the same where it comes again,
/// and leaves the parser in the same state; so it is compared instead of parsed. Two items are remembered: the last
/// that succeeded and the last that did not.
///
/// While comparing does not pay, it is given up until the next piece of the answer.
class RepeatedItems {
public:
    /// Forgets everything, for another answer.
    void start() noexcept {
        current_.clear();
        success_.bytes.clear();
        refusal_.bytes.clear();
        misses_ = 0;
        items_ = 0;
    }
    /// A new piece of the answer begins: comparing is tried again.
    void begin_piece() noexcept { misses_ = std::min(misses_, max_misses - 1); }

    /// Passes over the items at the beginning of `bytes` that repeat a remembered one, and returns how many bytes these
    /// are. `bytes` begin at the end of an item. `repeat(item, count)` is called for each run of the same item; when it
    /// returns false, nothing more is passed over.
    template <class F>
    std::size_t skip(std::string_view bytes, F repeat) {
        std::size_t skipped = 0;
        for (bool good = true; good;) {
            const auto from = skipped;
            skipped += skip_run(success_, bytes.substr(skipped), repeat, good);
            if (good) skipped += skip_run(refusal_, bytes.substr(skipped), repeat, good);
            if (skipped == from) break;
            misses_ = 0;
        }
        return skipped;
    }
    /// Whether ends of items matter now: they are parsed one by one.
    [[nodiscard]] bool is_comparing() const noexcept { return misses_ < max_misses; }
    /// How many of the bytes are to be parsed next: up to the brace that may end an item.
    [[nodiscard]] std::size_t next_piece(std::string_view bytes) const noexcept {
        const auto brace = is_comparing() ? bytes.find('}') : std::string_view::npos;
        return brace == std::string_view::npos ? bytes.size() : brace + 1;
    }
    /// What `next_piece` named was parsed. `at_end`: its last byte ended an item, the last of `items`.
    void parsed(std::string_view piece, bool at_end, std::span<const ItemAnswer> items) {
        if (current_.size() <= max_bytes) current_.append(piece.substr(0, max_bytes + 1));
        if (!at_end) return;
        ++misses_;
        const bool one = items_ != 0 && items.size() == items_ + 1 && current_.size() <= max_bytes;
        if (one) {
            auto& remembered = items.back().error == ItemAnswer::no_error ? success_ : refusal_;
            remembered.bytes.swap(current_);
            remembered.item = items.back();
        }
        current_.clear();
        items_ = items.size();
    }
    /// How many items there were at the last end of one.
    [[nodiscard]] std::size_t items() const noexcept { return items_; }

private:
    struct Item {
        std::string bytes; ///< from the end of the item before to its own
        ItemAnswer item;
    };
    static constexpr std::size_t max_bytes = 1024;
    static constexpr int max_misses = 8;

    template <class F>
    std::size_t skip_run(const Item& item, std::string_view bytes, F& repeat, bool& good) {
        std::size_t count = 0;
        if (item.bytes.empty()) return 0;
        while (bytes.substr(count * item.bytes.size()).starts_with(item.bytes)) ++count;
        if (count == 0) return 0;
        good = repeat(item.item, count);
        items_ += count;
        return count * item.bytes.size();
    }

    std::string current_; ///< what was parsed since the end of an item was seen
    Item success_;
    Item refusal_;
    std::size_t items_ = 0;
    int misses_ = 0; ///< ends of items seen since a repetition; from `max_misses` on all is parsed at once
};

} // namespace bulkhead::inline v1::detail
