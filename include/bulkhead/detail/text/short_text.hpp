// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <array>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

namespace bulkhead::inline v1::detail {

/// A small byte string that lives on the stack unless it grows beyond 256 bytes: the variable part of an action line.
class ShortText {
public:
    void append(std::string_view text) {
        if (spill_.empty() && size_ + text.size() <= inline_.size()) {
            std::memcpy(inline_.data() + size_, text.data(), text.size());
        } else {
            if (spill_.empty()) spill_.assign(inline_.data(), size_);
            spill_.append(text);
        }
        size_ += text.size();
    }
    template <std::integral Number>
    void append_number(Number number) {
        std::array<char, 24> digits{};
        const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
        append({digits.data(), static_cast<std::size_t>(end - digits.data())});
    }
    [[nodiscard]] std::string_view view() const noexcept {
        return spill_.empty() ? std::string_view{inline_.data(), size_} : std::string_view{spill_};
    }

private:
    std::array<char, 256> inline_; // deliberately uninitialised
    std::size_t size_ = 0;
    std::string spill_;
};

} // namespace bulkhead::inline v1::detail
