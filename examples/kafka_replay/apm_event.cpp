// SPDX-License-Identifier: BSL-1.0
#include "apm_event.hpp"

#include "json_text.hpp"
#include "timestamp.hpp"

#include <boost/json/serialize.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace replay {

namespace {

namespace json = boost::json;

std::string_view view(const json::string& text) noexcept { return {text.data(), text.size()}; }

/// A scalar as text; `held` keeps what had to be made. Nothing for null, objects and arrays.
std::optional<std::string_view> scalar_text(const json::value& value, std::string& held) {
    held.clear();
    switch (value.kind()) {
    case json::kind::string: return view(value.get_string());
    case json::kind::bool_: return value.get_bool() ? "true" : "false";
    case json::kind::int64: append_number(held, value.get_int64()); return held;
    case json::kind::uint64: append_number(held, value.get_uint64()); return held;
    case json::kind::double_: append_number(held, value.get_double()); return held;
    default: return std::nullopt;
    }
}

std::optional<std::int64_t> integer(const json::value& value) noexcept {
    if (const auto* number = value.if_int64()) return *number;
    const auto* text = value.if_string();
    if (text == nullptr) return std::nullopt;
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
    if (error != std::errc{} || end != text->data() + text->size()) return std::nullopt;
    return number;
}

/// At most `limit` bytes of valid UTF-8, whole characters only.
std::string_view cut(std::string_view text, std::size_t limit) noexcept {
    if (text.size() <= limit) return text;
    while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0U) == 0x80U) --limit;
    return text.substr(0, limit);
}

bool equal_ignoring_case(std::string_view text, std::string_view lower) noexcept {
    return std::equal(text.begin(), text.end(), lower.begin(), lower.end(), [](char a, char b) {
        return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
    });
}

bool is_error_or_above(std::string_view level) noexcept {
    constexpr std::string_view levels[] = {"error", "critical", "severe", "fatal", "alert", "emergency", "panic"};
    return std::any_of(std::begin(levels), std::end(levels),
                       [&](std::string_view known) { return equal_ignoring_case(level, known); });
}

void append_member(std::string& out, std::string_view name) {
    out += ',';
    append_json_string(out, name);
    out += ':';
}

/// `keys` holds the keys that had to be changed, one after the other; it has room for all, so that views of it stay.
void append_labels(std::string& out, const json::object& labels, std::string& held, std::string& keys) {
    std::array<std::string_view, max_labels> written;
    std::size_t count = 0;
    keys.clear();
    out += R"(,"labels":{)";
    for (const auto& [name, value] : labels) {
        if (count == max_labels) break;
        if (name.empty() || name.size() > max_label_key_bytes || value.is_null()) continue;
        std::string_view normal{name.data(), name.size()};
        if (normal.find_first_of(".*\"") != std::string_view::npos) {
            const auto at = keys.size();
            keys += normal;
            std::replace_if(
                keys.begin() + static_cast<std::ptrdiff_t>(at), keys.end(),
                [](char c) { return c == '.' || c == '*' || c == '"'; }, '_');
            normal = std::string_view{keys}.substr(at);
        }
        const auto end = written.begin() + static_cast<std::ptrdiff_t>(count);
        if (std::find(written.begin(), end, normal) != end) continue;
        written[count++] = normal;
        auto text = scalar_text(value, held);
        if (!text) {
            held = json::serialize(value);
            text = held;
        }
        if (count > 1) out += ',';
        append_json_string(out, normal);
        out += ':';
        append_json_string(out, cut(*text, max_label_bytes));
    }
    out += '}';
}

} // namespace

ApmEventReader::ApmEventReader() { keys_.reserve(max_labels * max_label_key_bytes); }

bool ApmEventReader::read(StreamKey stream, std::string_view event, std::int64_t record_ms, std::int64_t now_ms,
                          std::string& document) {
    parser_.reset(json::storage_ptr{&memory_});
    json::error_code error;
    parser_.write(event.data(), event.size(), error);
    bool valid = false;
    if (error) {
        problem_ = "not JSON: " + error.message();
    } else {
        const auto value = parser_.release();
        valid = write(stream, value, record_ms, now_ms, document);
    }
    parser_.reset(); // lets go of a half-parsed value before its memory goes
    memory_.release();
    return valid;
}

bool ApmEventReader::write(StreamKey stream, const json::value& event, std::int64_t record_ms, std::int64_t now_ms,
                           std::string& document) {
    const auto* object = event.if_object();
    if (object == nullptr) {
        problem_ = "not a JSON object";
        return false;
    }
    const auto& schema = schema_of(stream);
    error_or_above_ = false;
    document.clear();
    document += R"({"@timestamp":")";
    append_iso8601(document, resolve_timestamp(object->if_contains("timestamp"), record_ms, now_ms));
    document += R"(","type":")";
    document += schema.type;
    document += R"(","ingestedAt":")";
    append_iso8601(document, now_ms);
    document += '"';

    for (const auto& field : schema.fields) {
        const auto* value = object->if_contains(field.name);
        if (field.kind == FieldKind::text) {
            const auto text = value != nullptr ? scalar_text(*value, held_) : std::nullopt;
            if (text && !(field.required && text->empty())) {
                append_member(document, field.name);
                append_json_string(document, *text);
                if (field.name == "level") error_or_above_ = is_error_or_above(*text);
                continue;
            }
        } else if (value != nullptr) {
            const auto number = integer(*value);
            const bool fits = field.kind == FieldKind::http_status ? number && *number >= 100 && *number <= 999
                                                                   : number && *number >= 0;
            if (fits) {
                append_member(document, field.name);
                append_number(document, *number);
                continue;
            }
        }
        if (field.required) {
            problem_ = "no " + std::string{field.name};
            return false;
        }
    }
    if (const auto* labels = object->if_contains("labels"); labels != nullptr && labels->is_object())
        append_labels(document, labels->get_object(), held_, keys_);
    document += '}';
    return true;
}

} // namespace replay
