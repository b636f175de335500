// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/operation.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bulkhead::inline v1 {

/// What an action line names, decoded. It owns its texts.
struct ActionLine {
    /// What the server was asked to do.
    Action action{};
    /// The index, alias or data stream.
    std::string index;
    /// The document's id; absent when the server makes it.
    std::optional<std::string> id;
    /// The routing; absent when the operation has none.
    std::optional<std::string> routing;
};

namespace detail {

/// Reads an action line that this library has written, from front to back.
class ActionLineReader {
public:
    explicit ActionLineReader(std::string_view line) : rest_{line} {}
    [[nodiscard]] std::optional<ActionLine> read() {
        ActionLine found;
        std::string name;
        if (!take('{') || !text(name) || !action_of(name, found.action) || !take(':') || !take('{')) return {};
        do {
            std::string value;
            const bool read = text(name) && take(':') && (rest_.starts_with('"') ? text(value) : skip());
            if (!read) return {};
            if (name == "_index")
                found.index = std::move(value);
            else if (name == "_id")
                found.id = std::move(value);
            else if (name == "routing")
                found.routing = std::move(value);
        } while (take(','));
        if (!take('}') || !take('}')) return {};
        (void)take('\n');
        return rest_.empty() ? std::optional{std::move(found)} : std::nullopt;
    }

private:
    [[nodiscard]] static bool action_of(std::string_view name, Action& action) noexcept {
        for (const auto one : {Action::index, Action::create, Action::update, Action::delete_}) {
            if (action_name(one) != name) continue;
            action = one;
            return true;
        }
        return false;
    }
    [[nodiscard]] bool take(char c) noexcept {
        if (!rest_.starts_with(c)) return false;
        rest_.remove_prefix(1);
        return true;
    }
    /// A JSON string with the escapes that `append_json_string` writes.
    [[nodiscard]] bool text(std::string& out) {
        out.clear();
        if (!take('"')) return false;
        while (true) {
            const auto plain = rest_.substr(0, rest_.find_first_of("\"\\"));
            out.append(plain);
            rest_.remove_prefix(plain.size());
            if (take('"')) return true;
            if (rest_.size() < 2 || !escape(out)) return false;
        }
    }
    [[nodiscard]] bool escape(std::string& out) {
        constexpr std::string_view hex = "0123456789abcdef";
        const char kind = rest_[1];
        rest_.remove_prefix(2);
        switch (kind) {
        case '"':
        case '\\': out += kind; return true;
        case 'n': out += '\n'; return true;
        case 'r': out += '\r'; return true;
        case 't': out += '\t'; return true;
        case 'u': break;
        default: return false;
        }
        if (!rest_.starts_with("00") || rest_.size() < 4) return false; // only what is below U+0020
        const auto high = hex.find(rest_[2]);
        const auto low = hex.find(rest_[3]);
        if (high > 1 || low == std::string_view::npos) return false;
        out += static_cast<char>(high * 16 + low);
        rest_.remove_prefix(4);
        return true;
    }
    /// A number, `true`, `false`, or the object of `dynamic_templates`, which is the caller's JSON and well-formed.
    [[nodiscard]] bool skip() noexcept {
        std::size_t depth = 0;
        bool quoted = false;
        for (std::size_t i = 0; i < rest_.size(); ++i) {
            const char c = rest_[i];
            if (quoted) {
                if (c == '\\') ++i;
                quoted = c != '"';
            } else if (depth == 0 && (c == ',' || c == '}')) {
                rest_.remove_prefix(i);
                return i != 0;
            } else if (c == '"') {
                quoted = true;
            } else if (c == '{' || c == '[') {
                ++depth;
            } else if ((c == '}' || c == ']') && depth != 0) {
                --depth;
            }
        }
        return false;
    }
    std::string_view rest_;
};

} // namespace detail

/// Reads an action line as it stands in `Failure::action_line`, `DeadLetter::action_line`, `StoredDeadLetter` or
/// `Batch::body()`, with or without its newline: `{"create":{"_index":"logs","_id":"7"}}`. Escapes are decoded. Nothing
/// when this library has not written it. Throws `std::bad_alloc`.
[[nodiscard]] inline std::optional<ActionLine> parse_action_line(std::string_view line) {
    return detail::ActionLineReader{line}.read();
}

} // namespace bulkhead::inline v1
