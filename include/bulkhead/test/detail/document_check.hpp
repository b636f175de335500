// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <cstring>
#include <string_view>

namespace bulkhead::inline v1::test::detail {

/// Checks strictly, without building anything, that bytes are one JSON object in valid UTF-8, nested at most 1000 deep,
/// and notes whether it has an `@timestamp`.
class DocumentCheck {
public:
    explicit DocumentCheck(std::string_view bytes) : at_{bytes.data()}, end_{bytes.data() + bytes.size()} {
        skip_space();
        if (at_ == end_ || *at_ != '{' || !value(1)) return;
        skip_space();
        valid_ = at_ == end_;
    }
    [[nodiscard]] bool valid() const noexcept { return valid_; }
    [[nodiscard]] bool has_timestamp() const noexcept { return timestamp_; }

private:
    void skip_space() {
        while (at_ != end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\n' || *at_ == '\r')) ++at_;
    }
    bool take(char c) { return at_ != end_ && *at_ == c && (++at_, true); }
    bool word(std::string_view expected) {
        if (static_cast<std::size_t>(end_ - at_) < expected.size() ||
            std::memcmp(at_, expected.data(), expected.size()) != 0)
            return false;
        at_ += expected.size();
        return true;
    }
    bool value(int depth) {
        if (at_ == end_ || depth > 1000) return false;
        switch (*at_) {
        case '{': return ++at_, members(depth);
        case '[': return ++at_, elements(depth);
        case '"': return ++at_, string();
        case 't': return word("true");
        case 'f': return word("false");
        case 'n': return word("null");
        default: return number();
        }
    }
    bool members(int depth) {
        skip_space();
        if (take('}')) return true;
        while (true) {
            skip_space();
            if (!take('"')) return false;
            const auto* const name = at_;
            if (!string()) return false;
            if (depth == 1 && std::string_view{name, static_cast<std::size_t>(at_ - name)} == "@timestamp\"")
                timestamp_ = true;
            skip_space();
            if (!take(':')) return false;
            skip_space();
            if (!value(depth + 1)) return false;
            skip_space();
            if (take('}')) return true;
            if (!take(',')) return false;
        }
    }
    bool elements(int depth) {
        skip_space();
        if (take(']')) return true;
        while (true) {
            skip_space();
            if (!value(depth + 1)) return false;
            skip_space();
            if (take(']')) return true;
            if (!take(',')) return false;
        }
    }
    static bool digit(char c) { return c >= '0' && c <= '9'; }
    bool digits() {
        const auto* const from = at_;
        while (at_ != end_ && digit(*at_)) ++at_;
        return at_ != from;
    }
    bool number() {
        (void)take('-');
        if (!take('0') && !digits()) return false;
        if (take('.') && !digits()) return false;
        if (take('e') || take('E')) {
            if (!take('+')) (void)take('-');
            return digits();
        }
        return true;
    }
    /// What follows the opening quote.
    bool string() {
        while (at_ != end_) {
            const auto c = static_cast<unsigned char>(*at_++);
            if (c == '"') return true;
            if (c < 0x20) return false;
            if (c == '\\') {
                if (!escape()) return false;
            } else if (c >= 0x80 && !multibyte(c)) {
                return false;
            }
        }
        return false;
    }
    bool escape() {
        if (at_ == end_) return false;
        const char c = *at_++;
        if (c != 'u') return std::string_view{"\"\\/bfnrt"}.find(c) != std::string_view::npos;
        for (int i = 0; i < 4; ++i, ++at_)
            if (at_ == end_ || !(digit(*at_) || (*at_ >= 'a' && *at_ <= 'f') || (*at_ >= 'A' && *at_ <= 'F')))
                return false;
        return true;
    }
    /// The rest of a UTF-8 sequence: no overlong form, no surrogate, nothing above U+10FFFF.
    bool multibyte(unsigned char lead) {
        if (lead < 0xC2 || lead > 0xF4) return false;
        const int more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
        unsigned char lowest = 0x80;
        unsigned char highest = 0xBF;
        if (lead == 0xE0) lowest = 0xA0;
        if (lead == 0xED) highest = 0x9F;
        if (lead == 0xF0) lowest = 0x90;
        if (lead == 0xF4) highest = 0x8F;
        for (int i = 0; i < more; ++i, ++at_) {
            if (at_ == end_) return false;
            const auto c = static_cast<unsigned char>(*at_);
            if (c < lowest || c > highest) return false;
            lowest = 0x80;
            highest = 0xBF;
        }
        return true;
    }

    const char* at_;
    const char* end_;
    bool valid_ = false;
    bool timestamp_ = false;
};

} // namespace bulkhead::inline v1::test::detail
