// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/text/index_name.hpp>
#include <bulkhead/detail/text/json_text.hpp>
#include <bulkhead/error.hpp>
#include <bulkhead/operation.hpp>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <array>
#include <charconv>
#include <concepts>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

/// Operation → the lines of a bulk request. Pure functions: checking, escaping, framing.
namespace bulkhead::inline v1 {

namespace detail {

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

[[nodiscard]] constexpr std::string_view trim_json_space(std::string_view text) noexcept {
    constexpr std::string_view space = " \t\r\n";
    if (!text.empty() && text.front() == '{' && text.back() == '}') return text; // nearly always
    const auto first = text.find_first_not_of(space);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(space) - first + 1);
}

/// Whether a newline stands inside a string: there it is no white space, and JSON does not allow it.
[[nodiscard]] constexpr bool has_newline_in_string(std::string_view source) noexcept {
    bool quoted = false;
    for (std::size_t at = 0; (at = source.find_first_of(quoted ? "\"\\\n" : "\"", at)) != std::string_view::npos;
         ++at) {
        if (source[at] == '\n') return true;
        if (source[at] == '\\') {
            ++at; // what is escaped; a newline is not
            if (at < source.size() && source[at] == '\n') return true;
        } else {
            quoted = !quoted;
        }
    }
    return false;
}

/// What the server would refuse the *whole* request for (bulk-level validation of Elasticsearch and OpenSearch), found
/// before it can harm a neighbour. The source's framing and the index are checked where they are encoded.
[[nodiscard]] inline std::optional<FieldError> check_metadata(const Operation& op) {
    const auto text = [](const char* field, const std::optional<std::string_view>& value,
                         std::size_t most) -> std::optional<FieldError> {
        if (!value) return std::nullopt;
        if (value->empty() || value->size() > most)
            return FieldError{field, "1 to " + std::to_string(most) + " bytes",
                              std::to_string(value->size()) + " bytes"};
        if (!is_utf8(*value)) return FieldError{field, "valid UTF-8", "other bytes"};
        return std::nullopt;
    };
    const bool update = op.action == Action::update;
    const bool remove = op.action == Action::delete_;
    if (auto e = text("id", op.id, 512)) return e;
    if (auto e = text("routing", op.routing, 4096)) return e;
    if (auto e = text("pipeline", op.pipeline, 4096)) return e;
    if ((update || remove) && !op.id) return FieldError{"id", "present for update and delete", "absent"};
    if (op.pipeline && (update || remove)) return FieldError{"pipeline", "only for index and create", "present"};
    if (op.version) {
        if (op.action != Action::index && !remove)
            return FieldError{"version", "only for index and delete", std::string{action_name(op.action)}};
        if (!op.id) return FieldError{"version", "only with an id", "no id"};
        if (*op.version < 0) return FieldError{"version", "0 or more", std::to_string(*op.version)};
    }
    if (op.if_seq_no.has_value() != op.if_primary_term.has_value())
        return FieldError{"if_seq_no", "together with if_primary_term", "one of them alone"};
    if (op.if_seq_no) {
        if (op.action == Action::create) return FieldError{"if_seq_no", "not for create", "create"};
        if (!op.id) return FieldError{"if_seq_no", "only with an id", "no id"};
        if (op.version) return FieldError{"if_seq_no", "not together with version", "both"};
        if (*op.if_seq_no < 0) return FieldError{"if_seq_no", "0 or more", std::to_string(*op.if_seq_no)};
        if (*op.if_primary_term < 1)
            return FieldError{"if_primary_term", "1 or more", std::to_string(*op.if_primary_term)};
    }
    if (op.retry_on_conflict) {
        if (!update) return FieldError{"retry_on_conflict", "only for update", std::string{action_name(op.action)}};
        if (op.if_seq_no) return FieldError{"retry_on_conflict", "not together with if_seq_no", "both"};
    }
    if (!op.dynamic_templates.empty()) {
        if (update || remove)
            return FieldError{"dynamic_templates", "only for index and create", std::string{action_name(op.action)}};
        error_code failed;
        const auto value = boost::json::parse(
            boost::json::string_view{op.dynamic_templates.data(), op.dynamic_templates.size()}, failed);
        if (failed || !value.is_object() || !is_utf8(op.dynamic_templates))
            return FieldError{"dynamic_templates", "one JSON object", failed ? failed.message() : "something else"};
    }
    return std::nullopt;
}

/// Appends what follows the index in an action line: `,"_id":"…"` and so on. Returns how many bytes the id takes.
template <class Output>
std::size_t append_metadata(Output& out, const Operation& op) {
    const auto field = [&](std::string_view name, const std::optional<std::string_view>& value) {
        if (!value) return;
        out.append(name);
        append_json_string(out, *value);
    };
    const auto number = [&](std::string_view name, const auto& value) {
        if (!value) return;
        out.append(name);
        out.append_number(*value);
    };
    const auto flag = [&](std::string_view name, std::optional<bool> value) {
        if (!value) return;
        out.append(name);
        out.append(*value ? "true" : "false");
    };
    field(",\"_id\":", op.id);
    const auto id_bytes = out.view().size();
    field(",\"routing\":", op.routing);
    field(",\"pipeline\":", op.pipeline);
    if (op.version) {
        number(",\"version\":", op.version);
        out.append(op.version_type == VersionType::external ? ",\"version_type\":\"external\""
                                                            : ",\"version_type\":\"external_gte\"");
    }
    number(",\"if_seq_no\":", op.if_seq_no);
    number(",\"if_primary_term\":", op.if_primary_term);
    number(",\"retry_on_conflict\":", op.retry_on_conflict);
    flag(",\"require_alias\":", op.require_alias);
    flag(",\"require_data_stream\":", op.require_data_stream);
    if (!op.dynamic_templates.empty()) {
        out.append(",\"dynamic_templates\":");
        for (auto rest = op.dynamic_templates; !rest.empty();) { // a newline would end the action line
            const auto line = rest.substr(0, rest.find('\n'));
            out.append(line);
            rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        }
    }
    return id_bytes;
}

/// The constant beginning of the action lines in use, by action and index: `{"create":{"_index":"logs"`. A handful is
/// remembered, so that neither checking nor escaping an index name costs anything for each document.
class ActionLines {
public:
    /// The beginning for this action and index, valid until the next call. nullptr when the name is not acceptable.
    [[nodiscard]] const std::string* find(Action action, std::string_view index) {
        for (auto& line : lines_)
            if (line.action == action && line.index == index && !line.prefix.empty()) return &line.prefix;
        return remember(action, index);
    }

private:
    struct Line {
        Action action{};
        std::string index;
        std::string prefix;
    };
    const std::string* remember(Action action, std::string_view index) {
        if (check_index_name(index)) return nullptr;
        Line line{action, std::string{index}, "{\""};
        line.prefix.append(action_name(action)).append("\":{\"_index\":");
        append_json_string(line.prefix, index);
        auto& slot = lines_[next_++ % lines_.size()];
        slot = std::move(line);
        return &slot.prefix;
    }
    std::array<Line, 8> lines_;
    std::size_t next_ = 0;
};

} // namespace detail
} // namespace bulkhead::inline v1
