// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "json_text.hpp"
#include "scalar.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace replay {

/// Reads one JSON text (RFC 8259, in UTF-8) and hands its parts to a handler, in order:
/// - `begin(char)`: an object (`{`) or an array (`[`) begins; `end(char)`: it ends.
/// - `key(std::string_view)`: the name of the member whose value comes next.
/// - `scalar(const Scalar&)`: any other value. A number is its text.
///
/// Half of a surrogate pair (`\ud83d` alone), which the grammar allows, becomes U+FFFD. There is no limit but the
/// text's size: nesting costs one byte a level and no stack. Texts are views into the event or into memory of the
/// reader, valid until the next `read`. Reused for every event; allocates nothing once warm. Not thread-safe.
class JsonReader {
public:
    /// False when `text` is not one JSON text; then `problem()` says why and where, and the handler has seen a part.
    template <class Handler>
    [[nodiscard]] bool read(std::string_view text, Handler& handler) {
        text_ = text;
        at_ = 0;
        problem_.clear();
        nesting_.clear();
        made_.clear();
        made_.reserve(text.size()); // no view into it may move; what an escape stands for is shorter than the escape
        if (!is_utf8(text)) return fail("invalid UTF-8");
        skip_space();
        while (value(handler)) {
            if (opened_) continue; // its first value comes
            if (!after_value(handler)) return problem_.empty();
        }
        return false;
    }
    /// Of the last `read`, e.g. `a value is expected at byte 17`; empty when it was well.
    [[nodiscard]] std::string_view problem() const noexcept { return problem_; }

private:
    bool fail(std::string_view what) {
        problem_ = what;
        if (what != "invalid UTF-8") problem_ += " at byte " + std::to_string(at_);
        return false;
    }
    [[nodiscard]] bool at_end() const noexcept { return at_ == text_.size(); }
    [[nodiscard]] char next() const noexcept { return at_end() ? '\0' : text_[at_]; }
    bool take(char expected) noexcept {
        if (next() != expected || at_end()) return false;
        ++at_;
        return true;
    }
    void skip_space() noexcept {
        while (next() == ' ' || next() == '\t' || next() == '\n' || next() == '\r') ++at_;
    }

    /// A value, or the beginning of one that holds others (`opened_`).
    template <class Handler>
    bool value(Handler& handler) {
        opened_ = false;
        switch (next()) {
        case '{': return open(handler, '{', '}') && (!opened_ || key(handler));
        case '[': return open(handler, '[', ']');
        case '"': {
            std::string_view text;
            ++at_;
            if (!string(text)) return false;
            handler.scalar(text);
            return true;
        }
        case 't': return word(handler, "true", true);
        case 'f': return word(handler, "false", false);
        case 'n': return word(handler, "null", {});
        default: return number(handler);
        }
    }
    template <class Handler>
    bool open(Handler& handler, char bracket, char closing) {
        ++at_;
        handler.begin(bracket);
        skip_space();
        if (take(closing)) {
            handler.end(closing);
        } else {
            nesting_ += closing;
            opened_ = true;
        }
        return true;
    }
    /// Closes what ends here, up to where another value comes. False at the end of the text, or when something is
    /// wrong.
    template <class Handler>
    bool after_value(Handler& handler) {
        while (true) {
            skip_space();
            if (nesting_.empty()) return at_end() ? false : fail("the end is expected");
            if (take(',')) {
                skip_space();
                return nesting_.back() == ']' || key(handler);
            }
            const char closing = nesting_.back();
            if (!take(closing)) return fail(closing == ']' ? "',' or ']' is expected" : "',' or '}' is expected");
            nesting_.pop_back();
            handler.end(closing);
        }
    }
    template <class Handler>
    bool key(Handler& handler) {
        std::string_view name;
        if (!take('"')) return fail("a member's name is expected");
        if (!string(name)) return false;
        skip_space();
        if (!take(':')) return fail("':' is expected");
        skip_space();
        handler.key(name);
        return true;
    }
    template <class Handler>
    bool word(Handler& handler, std::string_view expected, const Scalar& meaning) {
        if (text_.substr(at_, expected.size()) != expected) return fail("a value is expected");
        at_ += expected.size();
        handler.scalar(meaning);
        return true;
    }

    [[nodiscard]] bool digits() noexcept {
        const auto from = at_;
        while (next() >= '0' && next() <= '9') ++at_;
        return at_ != from;
    }
    template <class Handler>
    bool number(Handler& handler) {
        const auto from = at_;
        (void)take('-');
        if (!take('0') && !digits()) return fail(at_ == from ? "a value is expected" : "a digit is expected");
        if (take('.') && !digits()) return fail("a digit is expected");
        if (take('e') || take('E')) {
            if (!take('+')) (void)take('-');
            if (!digits()) return fail("a digit is expected");
        }
        handler.scalar(Number{text_.substr(from, at_ - from)});
        return true;
    }

    /// What follows the opening quote: a view into the text where there is no escape, else into `made_`.
    bool string(std::string_view& out) {
        auto from = at_;
        auto made_from = std::string::npos;
        while (true) {
            at_ = next_special(text_, at_);
            if (at_end()) return fail("a string has no end");
            if (next() == '"') break;
            if (next() != '\\') return fail("a control character is in a string");
            if (made_from == std::string::npos) made_from = made_.size();
            made_.append(text_.substr(from, at_ - from));
            if (!escape()) return false;
            from = at_;
        }
        const auto rest = text_.substr(from, at_++ - from);
        out = made_from == std::string::npos ? rest : std::string_view{made_.append(rest)}.substr(made_from);
        return true;
    }
    bool escape() {
        ++at_;
        constexpr std::string_view names = "\"\\/bfnrt";
        constexpr std::string_view meanings = "\"\\/\b\f\n\r\t";
        if (take('u')) return code_unit();
        const auto which = at_end() ? std::string_view::npos : names.find(next());
        if (which == std::string_view::npos) return fail("an escape is expected");
        made_ += meanings[which];
        ++at_;
        return true;
    }
    /// Behind `\u`: a character, the first half of one, or half of one alone.
    bool code_unit() {
        constexpr std::uint32_t replacement = 0xFFFD;
        std::uint32_t code = 0;
        if (!hex(code)) return fail("four hexadecimal digits are expected");
        if (code >= 0xD800 && code < 0xDC00) {
            const auto behind = at_;
            std::uint32_t low = 0;
            const bool pair = take('\\') && take('u') && hex(low) && low >= 0xDC00 && low < 0xE000;
            if (!pair) at_ = behind; // whatever it is comes next
            code = pair ? 0x10000 + ((code - 0xD800) << 10U) + (low - 0xDC00) : replacement;
        } else if (code >= 0xDC00 && code < 0xE000) {
            code = replacement;
        }
        append_utf8(code);
        return true;
    }
    bool hex(std::uint32_t& out) noexcept {
        for (int i = 0; i < 4; ++i, ++at_) {
            const char c = next();
            std::uint32_t digit = 0;
            if (c >= '0' && c <= '9') {
                digit = static_cast<std::uint32_t>(c - '0');
            } else if (c >= 'a' && c <= 'f') {
                digit = static_cast<std::uint32_t>(c - 'a') + 10;
            } else if (c >= 'A' && c <= 'F') {
                digit = static_cast<std::uint32_t>(c - 'A') + 10;
            } else {
                return false;
            }
            out = out * 16 + digit;
        }
        return true;
    }
    void append_utf8(std::uint32_t code) {
        const auto put = [this](std::uint32_t byte) { made_ += static_cast<char>(static_cast<unsigned char>(byte)); };
        const auto follow = [&](unsigned shift) { put(0x80U | ((code >> shift) & 0x3FU)); };
        if (code < 0x80) return put(code);
        if (code < 0x800) {
            put(0xC0U | (code >> 6U));
            return follow(0);
        }
        if (code < 0x10000) {
            put(0xE0U | (code >> 12U));
        } else {
            put(0xF0U | (code >> 18U));
            follow(12);
        }
        follow(6);
        follow(0);
    }

    std::string_view text_;
    std::size_t at_ = 0;
    std::string nesting_; ///< how each level that is open ends, the innermost last
    std::string made_;    ///< texts that hold escapes, one behind the other
    std::string problem_;
    bool opened_ = false;
};

} // namespace replay
